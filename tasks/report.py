"""Tasks that say what a run will do and what it has done: the plan before, the report after."""

from dataclasses import replace
from pathlib import Path

from prefect.client.schemas.objects import State
from prefect.states import Completed

from bert_core.report.scores import score_rows
from bert_core.report.tables import markdown_table, stage_rows
from bert_core.stages.line import LineRequest, open_line
from bert_core.stages.plan import Decision, plan_line
from tasks.artifacts import artifact_key, escape, plan_markdown, publish_markdown
from tasks.policies import stage_task
from tasks.samples import standing_outputs
from tasks.stage import StageOutcome
from tasks.study import standing_studies


@stage_task("Plan", pool="data", run_name="plan")
def publish_plan(
    request: LineRequest, from_stage: str | None = None, only: str | None = None, force: bool = False
) -> State[list[Decision]]:
    """Decide for every stage whether it is reused or run and why, and show it as a graph and a table."""
    line = open_line(request)
    decisions = plan_line(line, from_stage=from_stage, only=only, force=force)
    num_run = sum(decision.action == "run" for decision in decisions)
    publish_markdown(
        artifact_key(line.recipe.name, "plan"),
        plan_markdown(line, decisions),
        f"{num_run} stages to run, {len(decisions) - num_run} to reuse",
    )
    message = f"{num_run} to run, {len(decisions) - num_run} to reuse"
    return Completed(name="Planned", message=message, data=decisions)


@stage_task("Report", pool="data", run_name="report")
def publish_report(request: LineRequest, inputs: list[StageOutcome]) -> State[str]:
    """Write the HTML report over all outputs that stand, and show its tables.

    Args:
        request: which recipe.
        inputs: outcomes of the stages of this run, parents first.

    Returns:
        A state that holds the report's path.
    """
    from bert_core.report.collect import collect_run
    from bert_core.report.html import write_report

    line = open_line(replace(request, study=False))
    outputs = standing_outputs(line)
    folder = line.workspace.root / "runs" / line.recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    decisions = [{"stage": o.stage, "action": o.action, "reason": o.reason} for o in inputs if o.stage in line.stages]
    recipe_text = Path(request.recipe).read_text(encoding="utf-8")
    run = collect_run(line.recipe.name, recipe_text, decisions, outputs, studies=standing_studies(request))
    path = write_report(folder, run)
    manifests = [manifest for _, manifest in outputs.values()]
    tables = [markdown_table(stage_rows(manifests)), markdown_table(score_rows(manifests))]
    num_built = sum(outcome.action == "built" for outcome in inputs)
    message = f"{num_built} built, {len(inputs) - num_built} reused"
    publish_markdown(
        artifact_key(line.recipe.name, "results"),
        f"## Results of {escape(line.recipe.name)}\n\n" + "\n".join(table for table in tables if table),
        f"{message}; report {path}",
    )
    return Completed(name="Reported", message=f"{message}; {path}", data=str(path))
