"""Raw text to documents, labelled files to train, dev and test records."""

from prefect import flow

from flows.running import Run, stage_runner


@flow(name="ingest", flow_run_name="ingest {recipe}", task_runner=stage_runner(), persist_result=False)
def ingest(recipe: str = "recipes/demo.yaml", overrides: list[str] | None = None, force: bool = False) -> int:
    """Read, clean, deduplicate and decontaminate the corpora; split the labelled tasks.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.
        force: Build these stages again although nothing changed.

    Returns:
        Number of stages that stand.
    """
    run = Run(recipe, overrides, force=force)
    run.up_to(*run.stages("split", "slices", "documents"))
    return len(run.finish())
