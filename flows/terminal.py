"""What the command line draws: the plan of a run, and the tables of what it made and how it scored.

Text that may come from a recipe or a corpus is printed as it is: rich's markup is off and control characters are shown
by their number, so that a file name cannot move the cursor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bert_core.report.scores import ScoreRow, score_rows
from bert_core.report.study import findings, study_rows
from bert_core.report.tables import DASH, StageRow, count, duration, size, stage_rows
from bert_core.stages.line import Line
from bert_core.stages.plan import Decision
from bert_core.stages.study_scores import study_of
from bert_core.store.manifest import Manifest
from tasks.visible import visible

if TYPE_CHECKING:
    from flows.running import RunSummary
    from tasks.stage import StageOutcome

_WIDTH_WITHOUT_TERMINAL = 200
"""Columns of a table that goes to a file or a pipe."""
_WORDS = ("why", "in this run")
"""Headings of columns that hold words: aligned left, wrapped where the terminal ends."""
_STYLES = {"run": "yellow", "reuse": "green", "built": "yellow", "reused": "green"}


def wide_console() -> Console:
    """Return a console on standard output; where that is no terminal, lines are as long as they need to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


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
    console = console or wide_console()
    headings = ["stage", "action", "rows", "size", "last took", "why"]
    rows = [
        [
            decision.stage,
            decision.action,
            count(decision.num_rows),
            size(decision.num_bytes),
            duration(decision.expected_seconds) if decision.action == "run" else DASH,
            decision.reason,
        ]
        for decision in decisions
    ]
    _print_table(console, headings, rows, left=2)
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
    console = console or wide_console()
    outcomes = {outcome.stage: outcome for outcome in summary.outcomes}
    manifests = manifests_of(line)
    rows = rows_of(line)
    _print_table(
        console,
        [*StageRow.HEADINGS, "in this run"],
        [[*row.cells(), _outcome(outcomes.get(row.stage))] for row in rows],
        left=1,
    )
    scores = score_rows(list(manifests.values()))
    if scores:
        _print_table(console, list(ScoreRow.HEADINGS), [list(score.cells()) for score in scores], left=2)
    num_built = sum(outcome.action == "built" for outcome in summary.outcomes)
    console.print(
        plain(f"{num_built} built, {len(summary.outcomes) - num_built} reused; report {Path(summary.report)}"),
        soft_wrap=True,
    )


def print_study(line: Line, summary: "RunSummary", console: Console | None = None) -> None:
    """Print how the starts of each task compare, what that says, and where the report is.

    Args:
        line: the open recipe with its study, after the run.
        summary: what became of each stage.
        console: where to; standard output by default.
    """
    console = console or wide_console()
    for study in study_of(line):
        head, *rows = study_rows(study)
        console.print(plain(study.task, "bold"))
        _print_table(console, head, rows, left=1)
        for sentence in findings(study):
            console.print(plain(f"  {sentence}"), soft_wrap=True)
        console.print()
    num_built = sum(outcome.action == "built" for outcome in summary.outcomes)
    console.print(
        plain(f"{num_built} built, {len(summary.outcomes) - num_built} reused; report {Path(summary.report)}"),
        soft_wrap=True,
    )


def rows_of(line: Line) -> list[StageRow]:
    """Return a row for each stage that stands; the slices of a corpus are added up."""
    rows = []
    for stage in line.stages.values():
        outputs = [line.output(member) for member in stage.pieces or (stage,) if member.kind != "slices"]
        found = stage_rows([output.manifest for output in outputs if output is not None])
        if found:
            rows.append(
                replace(
                    found[0],
                    stage=stage.id,
                    num_rows=sum(row.num_rows or 0 for row in found) or None,
                    seconds=sum(row.seconds for row in found),
                    num_bytes=sum(row.num_bytes for row in found),
                )
            )
    return rows


def manifests_of(line: Line) -> Mapping[str, Manifest]:
    """Return the manifests of the stages that stand, in the order of the line; slices are left to `documents`."""
    found = {}
    for stage in line.stages.values():
        output = line.output(stage) if stage.kind != "slices" else None
        if output is not None:
            found[stage.id] = output.manifest
    return found


def _outcome(outcome: "StageOutcome | None") -> str:
    """Say what a run did to a stage, and why where it did something."""
    if outcome is None:
        return "not part of it"
    return "reused" if outcome.action == "reused" else f"built: {outcome.reason}"


def _print_table(console: Console, headings: list[str], rows: list[list[str]], left: int) -> None:
    """Print rows of text; columns that hold only dashes are left out, a last column of words may wrap."""
    kept = [column for column in range(len(headings)) if any(row[column] != DASH for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in kept:
        is_words = headings[column] in _WORDS
        justify = "left" if column < left or is_words else "right"
        table.add_column(headings[column], justify=justify, overflow="fold", no_wrap=not is_words)
    for row in rows:
        table.add_row(*(plain(row[column], _STYLES.get(row[column].split(":")[0], "")) for column in kept))
    console.print(table)
