"""One run of a line inside a flow: the plan, and the stages submitted with the futures of their inputs.

Every flow of this folder is a few lines over `Run`. Stages are handed to Prefect with their inputs' futures as
arguments, so that its graph has the true edges; a stage whose output stands costs its task a few milliseconds. The
first stage that fails ends the run with its own error; what is sealed by then is reused by the next run.
"""

from dataclasses import dataclass
from typing import Any, cast

from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task

from bert_core.errors import RequestError
from bert_core.stages.line import Line, LineRequest, open_line
from bert_core.stages.plan import forced_stages
from tasks import data, report, training
from tasks.progress import start_listening, stop_listening
from tasks.stage import StageOutcome
from tasks.turns import expect_transfer

TASK_OF_KIND: dict[str, Task[..., Any]] = {
    "split": data.split_task,
    "slices": data.ingest_slices,
    "documents": data.merge_documents,
    "vocabulary": data.build_vocabulary,
    "tokens": data.build_tokens,
    "examples": data.build_examples,
    "labelled": data.build_labelled,
    "transfer": training.train_transfer,
    "fine_tune": training.fine_tune,
    "tfidf": training.baseline,
    "majority": training.baseline,
    "overlap": training.baseline,
}

MAX_STAGES_SUBMITTED = 64
"""Threads of a flow; most wait for the stages before theirs or for their turn (`tasks/turns.py`)."""


def stage_runner() -> TaskRunner[PrefectFuture[Any]]:
    """Return the task runner of every flow: a thread for each stage; the core does the heavy lifting."""
    return cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(max_workers=MAX_STAGES_SUBMITTED))


@dataclass(frozen=True)
class RunSummary:
    """What a run came to."""

    report: str
    """Path of the HTML report."""
    outcomes: tuple[StageOutcome, ...]
    """What became of each stage, parents first."""


class Run:
    """The stages of one flow run."""

    def __init__(
        self,
        recipe: str,
        overrides: list[str] | None = None,
        *,
        from_stage: str = "",
        only_stage: str = "",
        force: bool = False,
        study: bool = False,
    ) -> None:
        """Open the recipe, decide what would run, and publish the plan.

        Raises:
            RequestError: the recipe, a path in it, or a stage named is not as it must be.
        """
        start_listening()
        self.request = LineRequest(
            recipe=recipe, overrides=tuple(overrides or ()), study=study, run_id=str(flow_run.id or "")
        )
        self._only = only_stage or None
        named = {"from_stage": from_stage or None, "only": self._only, "force": force}
        self.line: Line = open_line(self.request)
        self._forced = forced_stages(self.line, **named)
        self._futures: dict[str, PrefectFuture[StageOutcome]] = {}
        report.publish_plan.submit(self.request, **named).result()

    def stages(self, *kinds: str) -> list[str]:
        """Return the ids of the stages of some kinds, in order; of all without a kind."""
        return [stage.id for stage in self.line.stages.values() if not kinds or stage.kind in kinds]

    def fine_tunes(self, task: str) -> list[str]:
        """Return the fine-tuning stages of a task: its own first, then its references.

        Raises:
            RequestError: the recipe has no such task.
        """
        if task not in self.line.recipe.tasks:
            known = ", ".join(self.line.recipe.tasks) or "none"
            raise RequestError(f"recipe {self.request.recipe!r} has no task {task!r}; its tasks are {known}")
        return self.line.fine_tunes(task)

    def up_to(self, *stages: str) -> None:
        """Submit stages and all that they are built from, parents first."""
        wanted = self.line.with_ancestors(stages) if self._only is None else {self._only}
        for stage_id in self.line.stages:
            if stage_id in wanted and stage_id not in self._futures:
                self._submit(stage_id)

    def finish(self) -> list[StageOutcome]:
        """Wait for the stages submitted, parents first.

        Raises:
            BertlineError: of the first stage that failed.
        """
        try:
            return [future.result() for future in self._futures.values()]
        except (KeyboardInterrupt, TerminationSignal):
            stop_listening()
            raise

    def finish_with_report(self) -> RunSummary:
        """Wait for the stages, then write the report over all outputs that stand."""
        outcomes = self.finish()
        made: Any = list(self._futures.values())  # Prefect hands the task their results
        path = report.publish_report.submit(self.request, made).result()
        return RunSummary(report=path, outcomes=tuple(outcomes))

    def _submit(self, stage_id: str) -> None:
        stage = self.line.stages[stage_id]
        inputs = [self._futures[parent] for parent in dict.fromkeys(stage.parents.values()) if parent in self._futures]
        self._futures[stage_id] = TASK_OF_KIND[stage.kind].submit(
            self.request, stage_id, inputs, stage_id in self._forced
        )
        if stage.kind == "transfer":
            future = cast(PrefectConcurrentFuture[StageOutcome], self._futures[stage_id])
            future.add_done_callback(expect_transfer(self.request, stage_id))


def named_stage(run: Run, stage: str) -> str:
    """Return a stage that a flow is named after.

    Raises:
        RequestError: the recipe leaves it out.
    """
    if stage not in run.line.stages:
        raise RequestError(
            f"recipe {run.request.recipe!r} has no {stage} stage; write a {stage!r} part or run another flow"
        )
    return stage
