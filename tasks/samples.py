"""What stands in a workspace, and a few examples of a stage as a person would look at them.

For artifacts, the report and `bertline inspect`. Knows where a recipe keeps what is needed to look; how an example
becomes words is the matter of `bert_core/examples/inspect.py`. No Prefect here.
"""

from collections.abc import Sequence
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
    masking: MaskingConfig | None = None,
) -> list["ExampleView"]:
    """Look at some examples of a stage and at what some epochs hide of them.

    Args:
        line: the open recipe.
        stage: id of an examples stage that stands.
        name: `train` or `held_out`.
        first_row: first example, from 0.
        num_rows: at most so many.
        epochs: passes to show, from 0.
        masking: other settings than those of the recipe.

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
        masking or transfer.masking,
        line.recipe.seed,
        epochs,
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
