"""Labelled examples and a checkpoint to fine-tuned models, scored beside their references."""

from prefect import flow

from flows.running import Run, stage_runner


@flow(name="fine-tune", flow_run_name="fine-tune {recipe}", task_runner=stage_runner(), persist_result=False)
def fine_tune(
    recipe: str = "recipes/demo.yaml",
    overrides: list[str] | None = None,
    task: str = "",
    references: bool = True,
    force: bool = False,
) -> int:
    """Fine-tune one task of the recipe or all, and what they start from.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.
        task: Name of a task of the recipe; empty for all of them.
        references: Train the references of the recipe beside it.
        force: Build these stages again although nothing changed.

    Returns:
        Number of stages that stand.
    """
    run = Run(recipe, overrides, force=force)
    for name in [task] if task else run.line.recipe.tasks:
        stages = run.fine_tunes(name)
        run.up_to(*(stages if references else stages[:1]))
    return len(run.finish())
