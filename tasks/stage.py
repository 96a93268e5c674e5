"""The one body that all stage tasks share: build or reuse an output, show it, say which it was.

A task run ends in a state named `Built` or `Reused`, which the UI counts, with the fingerprint and the reason as its
message. What travels on to the next task is a `StageOutcome`: names and numbers, never tables, tensors or models.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prefect.client.schemas.objects import State
from prefect.states import Completed

from bert_core.report.tables import duration
from bert_core.stages.build import StageResult, run_stage
from bert_core.stages.line import Line, LineRequest, open_line
from tasks.artifacts import artifact_key, counts_table, publish_table
from tasks.progress import listen, say


@dataclass(frozen=True)
class StageOutcome:
    """What became of one stage, as it travels between tasks."""

    stage: str
    """Stage id."""
    action: str
    """`built` or `reused`."""
    reason: str
    """Why, in words."""
    fingerprint: str
    """Of the output, 64 hexadecimal digits."""
    seconds: float
    """Wall time of the build, seconds; that of the original build where it was reused."""


Show = Callable[[Line, StageResult], None]
"""Publishes what is worth seeing of a fresh output."""


def run(request: LineRequest, stage: str, *, force: bool, show: Show | None = None) -> State[StageOutcome]:
    """Make sure that a stage's output stands, publish its artifacts, and return the state of the task run.

    Args:
        request: which recipe, with which settings replaced.
        stage: stage id.
        force: build again although nothing changed.
        show: called for an output that was built now.
    """
    line = open_line(request)
    name = line.recipe.name
    with listen(stage, artifact_key(name, stage, "progress")) as progress:
        result = run_stage(line, stage, force=force, progress=progress)
    if result.action == "built":
        say(f"{stage}: built in {duration(result.seconds)} ({result.reason})")
    key = artifact_key(name, stage, "counts")
    publish_table(key, counts_table(result.counts), f"What {stage} holds ({result.action}: {result.reason})")
    if result.action == "built" and show is not None:
        show(line, result)
    outcome = StageOutcome(stage, result.action, result.reason, result.fingerprint, result.seconds)
    return Completed(
        name=result.action.capitalize(),
        message=f"{result.fingerprint[:12]}: {result.reason}",
        data=outcome,
    )
