"""The whole line: raw text and labelled tasks in, fine-tuned models and a report out."""

from prefect import flow

from bert_core.stages.graph import REFERENCES
from flows.running import Run, RunSummary, stage_runner


@flow(name="transfer", flow_run_name="transfer {recipe}", task_runner=stage_runner(), persist_result=False)
def transfer(
    recipe: str = "recipes/demo.yaml",
    overrides: list[str] | None = None,
    from_stage: str = "",
    only_stage: str = "",
    force: bool = False,
) -> RunSummary:
    """Run a recipe: each stage is reused unless something it depends on changed.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.
        from_stage: Id of a stage to build again together with everything after it; empty to let changes decide.
        only_stage: Id of the one stage to run, whose inputs must stand; empty for all.
        force: Build every stage of the run again although nothing changed.

    Returns:
        Path of the HTML report, and what became of each stage.
    """
    run = Run(recipe, overrides, from_stage=from_stage, only_stage=only_stage, force=force)
    run.up_to(*run.stages("split", "slices", "documents"))
    run.up_to(*run.stages("vocabulary", "tokens", "examples", "labelled"))
    run.up_to(*run.stages("transfer"))
    run.up_to(*run.stages("fine_tune", *REFERENCES))
    return run.finish_with_report()
