"""What the command line draws: the plan of a run, and the tables of what it made and how it scored.

Text that may come from a recipe or a corpus is printed as it is: rich's markup is off and control characters are shown
by their number, so that a file name cannot move the cursor.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bert_core.report.tables import DASH, ScoreRow, StageRow, count, duration, score_rows, size, stage_rows
from bert_core.stages.line import Line
from bert_core.stages.plan import Decision
from bert_core.store.manifest import Manifest
from tasks.visible import visible

if TYPE_CHECKING:
    from flows.running import RunSummary


def plain(text: str, style: str = "") -> Text:
    """Return text for rich that is shown as it is: no markup, control characters by their number."""
    return Text(visible(text), style=style)


def print_plan(line: Line, decisions: Sequence[Decision], console: Console | None = None) -> None:
    """Print what a run would do and why.

    Args:
        line: the open recipe.
        decisions: one for each stage, parents first.
        console: where to; standard output by default.
    """
    console = console or Console()
    table = _table("stage", "action", "why", "rows", "size", "last took", left=3)
    for decision in decisions:
        run = decision.action == "run"
        table.add_row(
            plain(decision.stage, "bold" if run else ""),
            Text(decision.action, style="yellow" if run else "green"),
            plain(decision.reason),
            count(decision.num_rows),
            size(decision.num_bytes),
            duration(decision.expected_seconds) if run else DASH,
        )
    console.print(table)
    to_run = [decision for decision in decisions if decision.action == "run"]
    known = [d.expected_seconds for d in to_run if d.expected_seconds is not None]
    note = f"{len(to_run)} of {len(decisions)} stages to run"
    if known:
        unknown = len(to_run) - len(known)
        note += f", about {duration(sum(known))}" + (f" and {unknown} never timed" if unknown else "")
    console.print(plain(f"{line.recipe.name}: {note}; workspace {line.workspace.root}"), soft_wrap=True)


def print_results(line: Line, summary: "RunSummary", console: Console | None = None) -> None:
    """Print what each stage made and cost, how each task scored beside its references, and where the report is.

    Args:
        line: the open recipe, after the run.
        summary: what became of each stage.
        console: where to; standard output by default.
    """
    console = console or Console()
    outcomes = {outcome.stage: outcome for outcome in summary.outcomes}
    manifests = manifests_of(line)
    table = _table(*StageRow.HEADINGS, "", "why", left=1, left_from=len(StageRow.HEADINGS))
    for row in stage_rows(list(manifests.values())):
        outcome = outcomes.get(row.stage)
        action = outcome.action if outcome else "stands"
        table.add_row(
            plain(row.stage),
            *row.cells()[1:],
            Text(action, style={"built": "yellow", "reused": "green"}.get(action, "")),
            plain(outcome.reason if outcome else "not part of this run"),
        )
    console.print(table)
    scores = score_rows(list(manifests.values()))
    if scores:
        table = _table(*ScoreRow.HEADINGS, left=2)
        for score in scores:
            table.add_row(*(plain(cell, "" if score.is_reference else "bold") for cell in score.cells()))
        console.print(table)
    num_built = sum(outcome.action == "built" for outcome in summary.outcomes)
    console.print(
        plain(f"{num_built} built, {len(summary.outcomes) - num_built} reused; report {Path(summary.report)}"),
        soft_wrap=True,
    )


def manifests_of(line: Line) -> Mapping[str, Manifest]:
    """Return the manifests of the stages that stand, in the order of the line; slices are left to `documents`."""
    found = {}
    for stage in line.stages.values():
        output = line.output(stage) if stage.kind != "slices" else None
        if output is not None:
            found[stage.id] = output.manifest
    return found


def _table(*headings: str, left: int, left_from: int | None = None) -> Table:
    """A plain table; the first `left` columns, and those from `left_from` on, are aligned left."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        is_left = number < left or (left_from is not None and number >= left_from)
        table.add_column(heading, justify="left" if is_left else "right", overflow="fold")
    return table
