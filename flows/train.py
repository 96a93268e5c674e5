"""The three transfer stages, each as a flow of its own that first builds what it needs."""

from prefect import flow

from flows.running import Run, named_stage, stage_runner


@flow(name="pretrain", flow_run_name="pretrain {recipe}", task_runner=stage_runner(), persist_result=False)
def pretrain(recipe: str = "recipes/demo.yaml", overrides: list[str] | None = None, force: bool = False) -> str:
    """Train MLM and next-sentence prediction over the general corpus.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.
        force: Train again although nothing changed; its inputs are still reused.

    Returns:
        Fingerprint of the checkpoint, 64 hexadecimal digits.
    """
    return _train("pretrain", recipe, overrides, force)


@flow(
    name="domain-transfer",
    flow_run_name="domain transfer {recipe}",
    task_runner=stage_runner(),
    persist_result=False,
)
def domain_transfer(recipe: str = "recipes/demo.yaml", overrides: list[str] | None = None, force: bool = False) -> str:
    """Go on with MLM and next-sentence prediction over the raw text of the domain.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.
        force: Train again although nothing changed; its inputs are still reused.

    Returns:
        Fingerprint of the checkpoint, 64 hexadecimal digits.
    """
    return _train("domain_transfer", recipe, overrides, force)


@flow(
    name="task-transfer",
    flow_run_name="task transfer {recipe}",
    task_runner=stage_runner(),
    persist_result=False,
)
def task_transfer(recipe: str = "recipes/demo.yaml", overrides: list[str] | None = None, force: bool = False) -> str:
    """Go on with MLM over the training texts of the tasks, labels removed.

    Args:
        recipe: Path of the recipe, a YAML file seen from the folder the worker runs in.
        overrides: Settings of the recipe to replace in this run, `a.b=value` each.
        force: Train again although nothing changed; its inputs are still reused.

    Returns:
        Fingerprint of the checkpoint, 64 hexadecimal digits.
    """
    return _train("task_transfer", recipe, overrides, force)


def _train(stage: str, recipe: str, overrides: list[str] | None, force: bool) -> str:
    run = Run(recipe, overrides, from_stage=stage if force else "")
    run.up_to(named_stage(run, stage))
    return run.finish()[-1].fingerprint
