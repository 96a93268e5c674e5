"""Builders that hold Python's interpreter lock, as jobs of plain JSON values, so that they can run in other processes.

A job is `{"kind": "slice", "folder": ..., ...}`: what a builder needs, and the empty folder that it writes into. It
says nothing of the store: whoever asks for it holds the lock on the output and seals it afterwards. The same job gives
the same bytes in whichever process it runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bert_core.config import CorpusConfig, TaskConfig
from bert_core.corpus.paths import RawFile
from bert_core.corpus.slices import Slice
from bert_core.progress import Progress

Job = dict[str, Any]


def slice_job(piece: Slice, config: CorpusConfig, folder: Path) -> Job:
    """Describe the building of one slice of a raw file."""
    part = asdict(piece)
    part["file"]["path"] = str(piece.file.path)
    return {"kind": "slice", "slice": part, "corpus": config.plain(), "folder": str(folder)}


def documents_job(
    slice_folders: Sequence[Path], config: CorpusConfig, held_out_folders: Sequence[Path], folder: Path
) -> Job:
    """Describe the merging of a corpus's slices."""
    return {
        "kind": "documents",
        "slices": [str(path) for path in slice_folders],
        "corpus": config.plain(),
        "held_out": [str(path) for path in held_out_folders],
        "folder": str(folder),
    }


def split_job(task: TaskConfig, seed: int, base: Path, folder: Path) -> Job:
    """Describe the division of a task's labelled records."""
    return {"kind": "split", "task": task.plain(), "seed": seed, "base": str(base), "folder": str(folder)}


def run_job(job: Job, progress: Progress) -> dict[str, Any]:
    """Run a job in this process and return its builder's counts.

    Raises:
        BertlineError: of the builder.
    """
    return _BUILDERS[job["kind"]](job, Path(job["folder"]), progress)


def _build_slice(job: Job, folder: Path, progress: Progress) -> dict[str, Any]:
    from bert_core.corpus.documents import build_slice

    part = job["slice"]
    file = RawFile(**{**part["file"], "path": Path(part["file"]["path"])})
    return build_slice(Slice(**{**part, "file": file}), CorpusConfig.model_validate(job["corpus"]), folder, progress)


def _build_documents(job: Job, folder: Path, progress: Progress) -> dict[str, Any]:
    from bert_core.corpus.documents import build_documents

    slices, held_out = ([Path(path) for path in job[name]] for name in ("slices", "held_out"))
    return build_documents(slices, CorpusConfig.model_validate(job["corpus"]), held_out, folder, progress)


def _build_split(job: Job, folder: Path, progress: Progress) -> dict[str, Any]:
    from bert_core.corpus.split import build_split

    return build_split(TaskConfig.model_validate(job["task"]), job["seed"], Path(job["base"]), folder, progress)


_BUILDERS: dict[str, Callable[[Job, Path, Progress], dict[str, Any]]] = {
    "slice": _build_slice,
    "documents": _build_documents,
    "split": _build_split,
}
