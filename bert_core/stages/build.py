"""Build one stage of a line, or reuse its output: the only place where builders meet the store.

Each kind of stage has one function below that calls its room's builder with plain values. Rooms are imported here,
inside those functions, so that a plan or an inspection loads none of them. Reading text goes to worker processes
(`worker_pool.py`), a training stage runs in a process of its own (`training/process.py`); a crash there ends the stage,
not the flow.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bert_core.config import CorpusConfig, ExamplesConfig, Recipe, VocabularyConfig
from bert_core.corpus.paths import resolve_paths
from bert_core.errors import StoreError
from bert_core.progress import Progress, silent
from bert_core.stages.graph import Stage
from bert_core.stages.group import WORTH_A_PROCESS_BYTES, run_group
from bert_core.stages.jobs import Job, documents_job, run_job, slice_job, split_job
from bert_core.stages.line import Line
from bert_core.stages.plan import reason_to_run
from bert_core.stages.result import StageResult
from bert_core.stages.worker_pool import workers
from bert_core.store.manifest import Manifest
from bert_core.store.workspace import Build
from bert_core.tokens.ordered_threads import available_threads

Builder = Callable[[Line, Stage, Build, Progress], dict[str, Any]]

WAIT_SECONDS = 3600.0
"""How long a run waits for another run that builds the same output, seconds."""


def run_stage(
    line: Line,
    stage_id: str,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> StageResult:
    """Make sure that a stage's output stands, and say what was done.

    Args:
        line: an open recipe.
        stage_id: a stage whose inputs stand.
        force: build again although nothing changed.
        progress: told how far the work is.

    Raises:
        BertlineError: the builder refused its input or failed, or an input does not stand.
    """
    stage = line.stage(stage_id)
    last = line.workspace.read_links(line.recipe.name)

    def run_piece(piece: Stage, *, progress: Progress, is_waiting: bool, num_bytes: int) -> StageResult:
        builder = partial(_build_slice, num_bytes=num_bytes)
        return _run_one(line, piece, last, builder, force, progress, WAIT_SECONDS if is_waiting else 0.0)

    if stage.kind == "slices":
        return run_group(line, stage, run_piece, force=force, progress=progress)
    result = _run_one(line, stage, last, _BUILDERS[stage.kind], force, progress, WAIT_SECONDS)
    line.workspace.link(line.recipe.name, {result.stage: result.fingerprint})
    return result


def _run_one(
    line: Line,
    stage: Stage,
    last: dict[str, str],
    builder: Builder,
    force: bool,
    progress: Progress,
    wait_seconds: float,
) -> StageResult:
    output = line.output(stage)
    if output is not None and not force:
        return _result(stage, "reused", "nothing it depends on changed", output.folder, output.manifest)
    spec, parents = line.spec(stage), line.inputs(stage)
    if spec is None or parents is None:
        raise StoreError(f"stage {stage.id!r}: an input is not built; run the stages before it")
    before = line.workspace.find(stage.kind, last[stage.id])[0] if stage.id in last else None
    reason = "asked for" if output is not None else reason_to_run(line, stage, before)
    line.forget(stage)
    with line.workspace.building(
        stage.id, spec, parents, wait_seconds=wait_seconds, rebuild=force and output is not None
    ) as build:
        if build.sealed is None:
            build.counts = builder(line, stage, build, progress)
    sealed = line.output(stage)
    if sealed is None:
        raise StoreError(f"stage {stage.id!r}: its output was sealed and is gone; run again")
    if build.sealed is not None:
        return _result(stage, "reused", "another run has just built it", sealed.folder, sealed.manifest)
    return _result(stage, "built", reason, sealed.folder, sealed.manifest)


def _result(
    stage: Stage, action: Literal["built", "reused"], reason: str, folder: Path, manifest: Manifest
) -> StageResult:
    return StageResult(
        stage=stage.id,
        action=action,
        reason=reason,
        fingerprint=manifest.fingerprint,
        folder=str(folder),
        counts=manifest.counts,
        seconds=manifest.seconds,
    )


def _folder(line: Line, stage: Stage, role: str) -> Path:
    """Folder of the output that plays a role for a stage."""
    (output,) = line.outputs_of(stage.parents[role])
    return output.folder


def _folders(line: Line, stage: Stage, prefix: str) -> list[Path]:
    """Folders of the outputs whose roles begin with a prefix, in order."""
    roles = [role for role in stage.parents if role.startswith(prefix)]
    return [output.folder for role in roles for output in line.outputs_of(stage.parents[role])]


def _recipe(line: Line, stage: Stage) -> Recipe:
    """The settings that a stage is built from: the line's own but where a study varies them."""
    return stage.recipe or line.recipe


def _done(line: Line, job: Job, num_bytes: int, progress: Progress) -> dict[str, Any]:
    """Do a job here where it is small, else in a worker process."""
    if line.processors == 1 or num_bytes < WORTH_A_PROCESS_BYTES:
        return run_job(job, progress)
    return workers.run(job, progress, line.processors)


def _build_split(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    recipe, base = _recipe(line, stage), Path.cwd()
    task = recipe.tasks[stage.source]
    num_bytes = sum(file.path.stat().st_size for source in task.sources for file in resolve_paths([source.path], base))
    return _done(line, split_job(task, recipe.seed, base, build.folder), num_bytes, progress)


def _build_slice(line: Line, stage: Stage, build: Build, progress: Progress, num_bytes: int) -> dict[str, Any]:
    return _done(line, slice_job(stage.source, _corpus_of(line, stage), build.folder), num_bytes, progress)


def _corpus_of(line: Line, stage: Stage) -> CorpusConfig:
    return _recipe(line, stage).corpora[stage.own_id.split("/")[1]]


def _build_documents(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.corpus.documents import build_record_documents

    if "slices" not in stage.parents:
        return build_record_documents(_folders(line, stage, "split_"), build.folder, progress)
    slices = line.outputs_of(stage.parents["slices"])
    held_out = _folders(line, stage, "held_out_")
    job = documents_job([output.folder for output in slices], _corpus_of(line, stage), held_out, build.folder)
    return _done(line, job, sum(output.manifest.num_bytes for output in slices), progress)


def _build_vocabulary(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.tokens.vocabulary import build_vocabulary

    config: VocabularyConfig = _recipe(line, stage).vocabulary
    return build_vocabulary(_folders(line, stage, "documents_"), config, stage.source, build.folder, progress)


def _build_tokens(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.tokens.tokens import build_tokens

    documents, vocabulary = _folder(line, stage, "documents"), _folder(line, stage, "vocabulary")
    words = _recipe(line, stage).words
    return build_tokens(documents, vocabulary, words, stage.source, build.folder, progress, line.processors)


def _build_examples(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.examples.pairs import build_examples

    config: ExamplesConfig = stage.source
    tokens, vocabulary = _folder(line, stage, "tokens"), _folder(line, stage, "vocabulary")
    seed = _recipe(line, stage).seed
    return build_examples(tokens, vocabulary, config, seed, build.folder, progress, line.processors)


def _build_labelled(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.examples.labelled import build_labelled

    recipe, (name, thesaurus) = _recipe(line, stage), stage.source
    split, vocabulary = _folder(line, stage, "split"), _folder(line, stage, "vocabulary")
    return build_labelled(
        split,
        vocabulary,
        recipe.tasks[name],
        recipe.seed,
        build.folder,
        progress,
        thesaurus=thesaurus,
        segmenter=recipe.words.segmenter,
    )


def transfer_job(line: Line, stage: Stage) -> dict[str, Any]:
    """Describe the training of a transfer stage whose inputs stand; what is missing is where it writes."""
    start = _folder(line, stage, "start") if "start" in stage.parents else stage.source
    recipe, name = _recipe(line, stage), stage.own_id
    return {
        "kind": "transfer",
        "stage": name,
        "examples_folder": str(_folder(line, stage, "examples")),
        "long_examples_folder": (
            str(_folder(line, stage, "long_examples")) if "long_examples" in stage.parents else None
        ),
        "vocabulary_folder": str(_folder(line, stage, "vocabulary")),
        "start": str(start) if start is not None else None,
        "model": recipe.model.plain(),
        "transfer": recipe.transfers()[name].plain(),
        "seed": recipe.seed,
    }


def _build_transfer(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    return _run_training(line, stage, build, transfer_job(line, stage), progress)


def _build_fine_tune(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    name, source = stage.source
    start = str(_folder(line, stage, "start")) if "start" in stage.parents else source
    is_random, recipe = stage.settings["random_weights"], _recipe(line, stage)
    job = {
        "kind": "fine_tune",
        "labelled_folder": str(_folder(line, stage, "labelled")),
        "vocabulary_folder": str(_folder(line, stage, "vocabulary")),
        "start": None if is_random or start is None else str(start),
        "like": str(start) if is_random and start is not None else None,
        "model": recipe.model.plain(),
        "task": recipe.tasks[name].plain(),
        "seed": stage.settings["seed"],
        "num_threads": max(1, available_threads() // line.fine_tunings_at_once),
    }
    return _run_training(line, stage, build, job, progress)


def _run_training(line: Line, stage: Stage, build: Build, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write the job file and run it in a process of its own."""
    from bert_core.training import process

    workers.end_idle()  # their memory is the training's
    runs = line.workspace.root / "runs" / "training" / build.folder.name.removeprefix(".building-")[:16]
    runs.mkdir(parents=True, exist_ok=True)
    job |= {
        "output_folder": str(build.folder),
        "resume_folder": str(build.resume_folder),
        "runs_folder": str(runs),
    }
    path = runs / "job.json"
    path.write_text(json.dumps(job, indent=1, ensure_ascii=False), encoding="utf-8")
    return process.run_job(path, progress)


def _build_tfidf(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.training.baseline import run_tfidf

    began = time.monotonic()
    labelled = _folder(line, stage, "labelled")
    counts = run_tfidf(labelled, line.recipe.tasks[stage.source], line.recipe.seed, build.folder)
    progress(1, 1, "models", seconds=time.monotonic() - began)
    return counts


def _build_majority(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.training.baseline import run_majority

    return run_majority(_folder(line, stage, "labelled"), line.recipe.tasks[stage.source], build.folder)


def _build_overlap(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.training.overlap import run_overlap

    return run_overlap(_folder(line, stage, "labelled"), line.recipe.tasks[stage.source], build.folder)


_BUILDERS: dict[str, Builder] = {
    "split": _build_split,
    "documents": _build_documents,
    "vocabulary": _build_vocabulary,
    "tokens": _build_tokens,
    "examples": _build_examples,
    "labelled": _build_labelled,
    "transfer": _build_transfer,
    "fine_tune": _build_fine_tune,
    "tfidf": _build_tfidf,
    "majority": _build_majority,
    "overlap": _build_overlap,
}
