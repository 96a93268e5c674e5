"""`bertline inspect`: rows of a stage's output on the terminal, or examples as a page.

Examples are shown as `example_printing.py` does; any other table is shown row by row; a checkpoint by its counts. Text
is printed as it is: no markup, control characters by their number.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from bert_core.config import MaskingConfig
from bert_core.errors import RequestError
from bert_core.stages.line import Line, LineRequest, Output, open_line
from flows.example_printing import print_examples, write_page
from flows.terminal import plain, wide_console
from tasks.samples import SAMPLE_EPOCHS, sample_of, shard_names, standing_outputs, step_sample

if TYPE_CHECKING:
    from bert_core.examples.inspect import ExampleView

TERMINAL_ROWS = 3
"""Rows that are shown where no number is asked for."""
PAGE_ROWS = 30
"""The same on a page."""
_SHOWN_CHARACTERS = 200
_SHOWN_ITEMS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What of a stage is to be shown."""

    num_rows: int | None = None
    """How many rows; None for three, for a page thirty, for a step its whole batch."""
    first_row: int = 0
    """The first of them, from 0."""
    epochs: tuple[int, ...] = ()
    """Passes whose masks are shown; empty for the first two."""
    policies: tuple[str, ...] = ()
    """Masking policies; empty for that of the recipe."""
    held_out: bool = False
    """The examples kept for evaluation, not those of training."""
    step: int | None = None
    """Optimizer step of a transfer stage whose batch is shown, from 1."""
    page: Path | None = None
    """File to write as one page; None for the terminal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """Examples to show, and which they are."""

    stage: str
    """Of the examples."""
    lead: str
    views: list["ExampleView"]


def print_stage(
    recipe: str, stage: str, look: Look, *, overrides: tuple[str, ...] = (), console: Console | None = None
) -> None:
    """Print rows of a stage's output, or write its examples as a page.

    Args:
        recipe: path of the recipe.
        stage: stage id, or that of a slice; empty to list what stands.
        look: what of it.
        overrides: settings replaced, `a.b=value` each.
        console: where to; standard output by default.

    Raises:
        RequestError: no such stage, it has not been built, no such policy, row or step, or the page cannot be written.
    """
    console = console or wide_console()
    line = open_line(LineRequest(recipe=recipe, overrides=overrides))
    kind = line.stages[stage].kind if stage in line.stages else ""
    if look.step is not None:
        if kind != "transfer":
            raise RequestError(f"--step: {stage!r} trains nothing; name one of {', '.join(line.recipe.transfers())}")
        shown = _step_shown(line, stage, look)
    elif kind == "examples":
        shown = _examples_shown(line, stage, look)
    elif look.page is not None:
        known = ", ".join(name for name, each in line.stages.items() if each.kind == "examples")
        raise RequestError(f"--html shows examples: name one of {known}, or a training with --step; got {stage!r}")
    elif not stage:
        _print_standing(line, console)
        return
    else:
        for output in _outputs(line, stage):
            _print_rows(output, look.first_row, look.num_rows or TERMINAL_ROWS, console)
        return
    if look.page is None:
        print_examples(line, shown.stage, shown.views, console, shown.lead)
    else:
        write_page(look.page, f"{line.recipe.name}: {stage}", shown.lead, line, shown.stage, shown.views)
        console.print(plain(f"Wrote {look.page}: {len(shown.views)} examples"), soft_wrap=True)


def _examples_shown(line: Line, stage: str, look: Look) -> _Shown:
    own = line.recipe.transfers()[stage.split("/")[1]].masking
    maskings = [_with_policy(own, policy) for policy in look.policies] or [own]
    epochs = look.epochs or SAMPLE_EPOCHS
    name = "held_out" if look.held_out else "train"
    views = sample_of(
        line,
        stage,
        name=name,
        first_row=look.first_row,
        num_rows=look.num_rows or (TERMINAL_ROWS if look.page is None else PAGE_ROWS),
        epochs=epochs,
        maskings=maskings,
    )
    rows = f"{views[0].row} to {views[-1].row}" if views else "none"
    return _Shown(stage=stage, lead=f"Rows {rows} of the set {name}, seed {line.recipe.seed}.", views=views)


def _step_shown(line: Line, stage: str, look: Look) -> _Shown:
    """The batch of a step; what would show another batch or other masks than the model saw is refused."""
    given = {"--epoch": look.epochs, "--policy": look.policies, "--first": look.first_row, "--held-out": look.held_out}
    others = [option for option, value in given.items() if value]
    if others:
        raise RequestError(f"--step shows the batch as the model saw it; leave out {', '.join(others)}")
    assert look.step is not None
    found = step_sample(line, stage, look.step)
    lead = f"Step {found.step} of {found.num_steps} of {stage}: {len(found.views)} examples, epoch {found.epoch}."
    return _Shown(stage=found.examples_stage, lead=lead, views=found.views[: look.num_rows])


def _with_policy(masking: MaskingConfig, policy: str) -> MaskingConfig:
    from pydantic import ValidationError

    try:
        thesaurus = masking.thesaurus if policy == "similar_word" else None
        return MaskingConfig.model_validate(masking.model_dump() | {"policy": policy, "thesaurus": thesaurus})
    except ValidationError as error:
        raise RequestError(f"--policy {policy!r}: {error.errors()[0]['msg'].lower()}") from None


def _outputs(line: Line, stage: str) -> list[Output]:
    """The outputs of a stage, or the one of a slice."""
    group = line.stages.get(stage.rpartition("/")[0])
    for piece in group.pieces if group is not None else ():
        output = line.output(piece) if piece.id == stage else None
        if output is not None:
            return [output]
    return line.outputs_of(stage)


def _print_standing(line: Line, console: Console) -> None:
    outputs = standing_outputs(line)
    if not outputs:
        raise RequestError(f"nothing of {line.request.recipe!r} has been built; `bertline run` builds it")
    for stage, (folder, _) in outputs.items():
        console.print(plain(f"{stage}  {', '.join(shard_names(folder))}"), soft_wrap=True)


def _print_rows(output: Output, first_row: int, num_rows: int, console: Console) -> None:
    """Print rows of every set of shards of an output; counts where it has none."""
    from bert_core.store.shards import read_shards

    manifest = output.manifest
    head = f"{manifest.stage}  {manifest.fingerprint[:12]}  built {manifest.built_at}"
    console.print(plain(head, "bold"), soft_wrap=True)
    names = shard_names(output.folder)
    for name in names:
        table = read_shards(output.folder, name)
        console.print(plain(f"{name}: {table.num_rows:,} rows"), soft_wrap=True)
        for number, row in enumerate(table.slice(first_row, num_rows).to_pylist(), start=first_row):
            console.print(plain(f"  row {number}", "dim"))
            for key, value in row.items():
                console.print(_labelled_value(key, value), soft_wrap=True)
    if not names:
        _print_counts(manifest.counts, console)
        for entry in manifest.files:
            console.print(plain(f"  {Path(entry.name)}  {entry.num_bytes:,} bytes"), soft_wrap=True)


def _labelled_value(key: str, value: Any) -> Text:
    if key.endswith("_id") or key.startswith("doc_id"):
        shown = f"{value:016x}"
    elif isinstance(value, list):
        more = f" … {len(value) - _SHOWN_ITEMS} more" if len(value) > _SHOWN_ITEMS else ""
        shown = " ".join(str(int(v) if isinstance(v, bool) else v) for v in value[:_SHOWN_ITEMS]) + more
    else:
        text = str(value)
        cut = len(text) > _SHOWN_CHARACTERS
        shown = text[:_SHOWN_CHARACTERS] + (f" … {len(text):,} characters" if cut else "")
    return Text(f"    {key}: ", "dim").append_text(plain(shown))


def _print_counts(counts: dict[str, Any], console: Console) -> None:
    from tasks.artifacts import counts_table

    for row in counts_table(counts):
        console.print(plain(f"  {row['count']}: {row['value']}"), soft_wrap=True)
