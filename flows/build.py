"""Documents and records to the examples that training reads."""

from prefect import flow

from flows.running import Run, stage_runner


@flow(name="build", flow_run_name="build {recipe}", task_runner=stage_runner(), persist_result=False)
def build(recipe: str = "recipes/demo.yaml", overrides: list[str] | None = None, force: bool = False) -> int:
    """Build the vocabulary, tokens, pretraining examples and labelled examples, and what they are built from.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.
        force: Build these stages again although nothing changed.

    Returns:
        Number of stages that stand.
    """
    run = Run(recipe, overrides, force=force)
    run.up_to(*run.stages("vocabulary", "tokens", "examples", "labelled"))
    return len(run.finish())
