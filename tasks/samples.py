"""What stands in a workspace, and a few examples of a stage as a person would look at them.

For artifacts, the report and `bertline inspect`. Knows where a recipe keeps what is needed to look; how an example
becomes words is the matter of `bert_core/examples/inspect.py`. No Prefect here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bert_core.config import MaskingConfig
from bert_core.errors import RequestError
from bert_core.stages.line import Line
from bert_core.store.manifest import Manifest

if TYPE_CHECKING:
    from bert_core.examples.inspect import ExampleView

SAMPLE_ROWS = 4
"""Examples shown in an artifact."""
SAMPLE_EPOCHS = (0, 1)


def sample_of(
    line: Line,
    stage: str,
    *,
    name: str = "train",
    first_row: int = 0,
    num_rows: int = SAMPLE_ROWS,
    epochs: Sequence[int] = SAMPLE_EPOCHS,
    maskings: Sequence[MaskingConfig] = (),
) -> list["ExampleView"]:
    """Look at some examples of a stage and at what some policies hide of them in some epochs.

    Args:
        line: the open recipe.
        stage: id of an examples stage that stands.
        name: `train` or `held_out`.
        first_row: first example, from 0.
        num_rows: at most so many.
        epochs: passes to show, from 0.
        maskings: policies; that of the recipe where there is none.

    Raises:
        RequestError: the stage has not been built, or has fewer examples than `first_row`.
    """
    from bert_core.examples.inspect import sample_view
    from bert_core.examples.reader import ExampleSet

    (output,) = line.outputs_of(stage)
    (vocabulary,) = line.outputs_of("vocabulary")
    transfer = line.recipe.transfers()[stage.split("/")[1]]
    num_examples = ExampleSet.open(output.folder, name).num_examples
    if first_row and first_row >= num_examples:
        raise RequestError(f"row {first_row} is not among the {num_examples} {name} examples of {stage!r}")
    return sample_view(
        output.folder,
        name,
        vocabulary.folder,
        range(first_row, min(first_row + num_rows, num_examples)),
        maskings or [transfer.masking],
        line.recipe.seed,
        epochs,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSample:
    """The batch of one optimizer step."""

    examples_stage: str
    """Stage id of the examples."""
    step: int
    """From 1."""
    num_steps: int
    """Steps of the training."""
    epoch: int
    """Pass over the examples that the step belongs to, from 0."""
    views: list["ExampleView"]
    """Its examples, in their order, with the masks of this epoch."""


def step_sample(line: Line, stage: str, step: int) -> StepSample:
    """Look at the batch that the model of a transfer stage sees at one optimizer step.

    Rows and masks are functions of the recipe and the step, so the training need not have been run, and a run that was
    resumed saw the same.

    Args:
        line: the open recipe.
        stage: id of a transfer stage whose examples stand.
        step: number of the step, from 1, as metrics and messages count them.

    Raises:
        RequestError: its inputs have not been built, or it has fewer steps.
    """
    from bert_core.examples.inspect import sample_view
    from bert_core.stages.build import transfer_job
    from bert_core.training.job import TransferJob
    from bert_core.training.step import phase_and_rows_of_step

    described = line.stage(stage)
    nowhere = dict.fromkeys(("output_folder", "resume_folder", "runs_folder"), ".")  # nothing is written
    job = TransferJob.from_dict(transfer_job(line, described) | nowhere)
    if step > job.transfer.steps:
        raise RequestError(f"step {step} is not among the {job.transfer.steps} steps of {stage!r}")
    phase, epoch, rows = phase_and_rows_of_step(job, step)
    views = sample_view(
        phase.folder, "train", job.vocabulary_folder, rows.tolist(), [job.transfer.masking], job.seed, [epoch]
    )
    return StepSample(
        examples_stage=described.parents["examples" if phase.folder == job.examples_folder else "long_examples"],
        step=step,
        num_steps=job.transfer.steps,
        epoch=epoch,
        views=views,
    )


def standing_outputs(line: Line) -> dict[str, tuple[Path, Manifest]]:
    """Return folder and manifest of every output that stands, by stage id, slices by their own ids, parents first."""
    found = {}
    for stage in line.stages.values():
        for member in stage.pieces or (stage,):
            output = line.output(member) if member.kind != "slices" else None
            if output is not None:
                found[member.id] = (output.folder, output.manifest)
    return found


def shard_names(folder: Path) -> list[str]:
    """Return the names of the sets of shards in a folder: `train`, `held_out`."""
    return sorted({path.name.rsplit("-", 3)[0] for path in folder.glob("*-[0-9]*-of-[0-9]*.arrow")})
