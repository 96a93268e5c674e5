"""Every order of the transfers side by side: several seeds, one set of shards, means, spreads and tests."""

from prefect import flow

from flows.running import Run, RunSummary, stage_runner
from tasks.study import publish_study


@flow(name="study", flow_run_name="study {recipe}", task_runner=stage_runner(), persist_result=False)
def study(recipe: str = "recipes/demo.yaml", overrides: list[str] | None = None) -> RunSummary:
    """Fine-tune each task from every start of the recipe's study; what stands already is reused.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.

    Returns:
        Path of the HTML report, and what became of each stage.
    """
    run = Run(recipe, overrides, study=True)
    run.up_to(*run.stages("transfer", "labelled"))  # first: fine-tunings wait for the transfers submitted
    run.up_to(*run.stages())
    publish_study.submit(run.request, run.finish()).result()
    return run.finish_with_report()
