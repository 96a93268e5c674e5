"""Build one stage of a line, or reuse its output: the only place where builders meet the store.

Each kind of stage has one function below that calls its room's builder with plain values. Rooms are imported here,
inside those functions, so that a plan or an inspection loads none of them. A training stage runs in a process of its
own (`training/process.py`); a crash there ends the stage, not the flow.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bert_core.config import CorpusConfig, ExamplesConfig, Recipe, VocabularyConfig
from bert_core.errors import StoreError
from bert_core.progress import Progress, silent
from bert_core.stages.graph import Stage
from bert_core.stages.line import Line
from bert_core.stages.plan import reason_to_run
from bert_core.store.fingerprint import fingerprint_of
from bert_core.store.manifest import Manifest
from bert_core.store.workspace import Build

WAIT_SECONDS = 3600.0
"""How long a run waits for another run that builds the same output, seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """What became of one stage in a run."""

    stage: str
    """Stage id."""
    action: Literal["built", "reused"]
    """Whether its output was made now."""
    reason: str
    """Why, in words."""
    fingerprint: str
    """Of its output; of all its members for a group of slices."""
    folder: str
    """Where the output lies; the folder of the kind for a group."""
    counts: dict[str, Any]
    """Counts of the manifest."""
    seconds: float
    """Wall time of the build, seconds; that of the original build where it was reused."""


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
    if stage.kind == "slices":
        return _run_group(line, stage, force=force, progress=progress)
    return _run_one(line, stage, force=force, progress=progress)


def _run_group(line: Line, stage: Stage, *, force: bool, progress: Progress) -> StageResult:
    """Build the slices of a corpus that do not stand."""
    results = []
    for number, piece in enumerate(stage.pieces):
        results.append(_run_one(line, piece, force=force, progress=silent))
        progress(number + 1, len(stage.pieces), "slices")
    built = [result for result in results if result.action == "built"]
    counts: dict[str, Any] = {"slices": len(results), "slices_built": len(built)}
    for result in results:
        for key, value in result.counts.items():
            if isinstance(value, int):
                counts[key] = counts.get(key, 0) + value
    return StageResult(
        stage=stage.id,
        action="built" if built else "reused",
        reason=built[0].reason if built else f"none of its {len(results)} slices changed",
        fingerprint=fingerprint_of({result.stage: result.fingerprint for result in results}),
        folder=str(line.workspace.root / "store" / "slice"),
        counts=counts,
        seconds=round(sum(result.seconds for result in results), 3),
    )


def _run_one(line: Line, stage: Stage, *, force: bool, progress: Progress) -> StageResult:
    output = line.output(stage)
    if output is not None and not force:
        line.workspace.link(line.recipe.name, stage.id, output.manifest.fingerprint)
        return _result(stage, "reused", "nothing it depends on changed", output.folder, output.manifest)
    spec, parents = line.spec(stage), line.inputs(stage)
    if spec is None or parents is None:
        raise StoreError(f"stage {stage.id!r}: an input is not built; run the stages before it")
    fingerprint = fingerprint_of(spec)
    last = line.workspace.read_links(line.recipe.name).get(stage.id)
    before = line.workspace.find(stage.kind, last)[0] if last else None
    reason = "asked for" if output is not None else reason_to_run(line, stage, before)
    line.forget(stage)
    with line.workspace.building(
        stage.id, spec, parents, wait_seconds=WAIT_SECONDS, rebuild=force and output is not None
    ) as build:
        if build.sealed is None:
            build.counts = _BUILDERS[stage.kind](line, stage, build, progress)
    line.workspace.link(line.recipe.name, stage.id, fingerprint)
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


def _build_split(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.corpus.split import build_split

    recipe = _recipe(line, stage)
    return build_split(recipe.tasks[stage.source], recipe.seed, Path.cwd(), build.folder, progress)


def _build_slice(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.corpus.documents import build_slice

    return build_slice(stage.source, _corpus_of(line, stage), build.folder, progress)


def _corpus_of(line: Line, stage: Stage) -> CorpusConfig:
    return _recipe(line, stage).corpora[stage.own_id.split("/")[1]]


def _build_documents(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.corpus.documents import build_documents, build_record_documents

    held_out = _folders(line, stage, "held_out_")
    if "slices" not in stage.parents:
        return build_record_documents(_folders(line, stage, "split_"), build.folder, progress)
    return build_documents(_folders(line, stage, "slices"), _corpus_of(line, stage), held_out, build.folder, progress)


def _build_vocabulary(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.tokens.vocabulary import build_vocabulary

    config: VocabularyConfig = _recipe(line, stage).vocabulary
    return build_vocabulary(_folders(line, stage, "documents_"), config, stage.source, build.folder, progress)


def _build_tokens(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.tokens.tokens import build_tokens

    documents, vocabulary = _folder(line, stage, "documents"), _folder(line, stage, "vocabulary")
    words = _recipe(line, stage).words
    return build_tokens(documents, vocabulary, words, stage.source, build.folder, progress)


def _build_examples(line: Line, stage: Stage, build: Build, progress: Progress) -> dict[str, Any]:
    from bert_core.examples.pairs import build_examples

    config: ExamplesConfig = stage.source
    tokens, vocabulary = _folder(line, stage, "tokens"), _folder(line, stage, "vocabulary")
    return build_examples(tokens, vocabulary, config, _recipe(line, stage).seed, build.folder, progress)


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
    }
    return _run_training(line, stage, build, job, progress)


def _run_training(line: Line, stage: Stage, build: Build, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write the job file and run it in a process of its own."""
    from bert_core.training.process import run_job

    runs = line.workspace.root / "runs" / "training" / build.folder.name.removeprefix(".building-")[:16]
    runs.mkdir(parents=True, exist_ok=True)
    job |= {
        "output_folder": str(build.folder),
        "resume_folder": str(build.resume_folder),
        "runs_folder": str(runs),
    }
    path = runs / "job.json"
    path.write_text(json.dumps(job, indent=1, ensure_ascii=False), encoding="utf-8")
    return run_job(path, progress)


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


_BUILDERS: dict[str, Callable[[Line, Stage, Build, Progress], dict[str, Any]]] = {
    "split": _build_split,
    "slice": _build_slice,
    "documents": _build_documents,
    "vocabulary": _build_vocabulary,
    "tokens": _build_tokens,
    "examples": _build_examples,
    "labelled": _build_labelled,
    "transfer": _build_transfer,
    "fine_tune": _build_fine_tune,
    "tfidf": _build_tfidf,
    "majority": _build_majority,
}
