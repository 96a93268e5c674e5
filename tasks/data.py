"""Tasks that turn raw text and labelled files into examples; each is one call of the core.

`inputs` carries the outcomes of the stages that a stage is built from. The body does not read them: they are there so
that Prefect waits for them and draws true edges.
"""

import json
from pathlib import Path

from prefect.client.schemas.objects import State

from bert_core.stages.build import StageResult
from bert_core.stages.line import Line, LineRequest
from tasks.artifacts import artifact_key, audit_markdown, augmentation_markdown, publish_markdown
from tasks.policies import stage_task
from tasks.samples import sample_of
from tasks.stage import Show, StageOutcome, run
from tasks.turns import data_turn

Inputs = list[StageOutcome]


@stage_task("Split a task into train, dev and test", pool="data")
def split_task(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Deduplicate a task's labelled records and divide them into train, dev and test."""
    return _run(request, stage, force=force)


@stage_task("Read and clean raw text", pool="data")
def ingest_slices(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Read the slices of a corpus that changed, clean their documents and quarantine what is unreadable."""
    return _run(request, stage, force=force)


@stage_task("Merge documents", pool="data")
def merge_documents(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Deduplicate the documents of a corpus and take out the dev and test texts of every task."""
    return _run(request, stage, force=force)


@stage_task("Build the vocabulary", pool="data")
def build_vocabulary(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Take over or train the WordPiece vocabulary."""
    return _run(request, stage, force=force)


@stage_task("Tokenize documents", pool="data")
def build_tokens(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Turn documents into token ids with word and entity boundaries."""
    return _run(request, stage, force=force)


@stage_task("Build pretraining examples", pool="data")
def build_examples(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Pair sentences into next-sentence examples; show their audit, and a few with the masks of two epochs."""
    return _run(request, stage, force=force, show=_show_examples)


@stage_task("Build labelled examples", pool="data")
def build_labelled(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Turn labelled records into token ids with labels; show copies that augmentation made, before and after."""
    return _run(request, stage, force=force, show=_show_augmentation)


def _run(request: LineRequest, stage: str, *, force: bool, show: Show | None = None) -> State[StageOutcome]:
    with data_turn():
        return run(request, stage, force=force, show=show)


def _show_examples(line: Line, result: StageResult) -> None:
    """Publish what the audit measured, and some examples, each with its masks in two epochs side by side."""
    from bert_core.examples.inspect import markdown_of

    audit = json.loads((Path(result.folder) / "audit.json").read_text(encoding="utf-8"))
    publish_markdown(
        artifact_key(line.recipe.name, result.stage, "audit"),
        audit_markdown(audit),
        f"Audit of {result.stage}: {len(audit['faults'])} warnings",
    )
    key = artifact_key(line.recipe.name, result.stage, "sample")
    markdown = markdown_of(sample_of(line, result.stage))
    publish_markdown(key, markdown, f"Examples of {result.stage} and their masks in two epochs")


def _show_augmentation(line: Line, result: StageResult) -> None:
    """Publish how many copies augmentation made, and some of them beside their records; nothing where it is off."""
    path = Path(result.folder) / "augmentation.json"
    if path.is_file():
        made = json.loads(path.read_text(encoding="utf-8"))
        publish_markdown(
            artifact_key(line.recipe.name, result.stage, "augmentation"),
            augmentation_markdown(made),
            f"Augmentation of {result.stage}: {made['counts']['copies']} copies",
        )
