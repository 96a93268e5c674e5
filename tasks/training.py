"""Tasks that train: transfer stages, fine-tuning, and the reference without a network.

Training itself runs in a process of its own (`bert_core/training/process.py`); `turns.py` says how many run at once.
"""

from pathlib import Path

from prefect.client.schemas.objects import State

from bert_core.report.plots import loss_curve
from bert_core.stages.build import StageResult
from bert_core.stages.line import Line, LineRequest
from tasks.artifacts import artifact_key, picture_markdown, publish_markdown, published_or_logged
from tasks.policies import stage_task
from tasks.stage import StageOutcome, run
from tasks.turns import training_turn

Inputs = list[StageOutcome]


@stage_task("Train a transfer stage", pool="training")
def train_transfer(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Train masked language modelling and next-sentence prediction, from the stage before."""
    with training_turn(request, stage, force=force):
        return run(request, stage, force=force, show=_show_curve)


@stage_task("Fine-tune", pool="training")
def fine_tune(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Fine-tune a checkpoint for a task and score it on the task's test set."""
    with training_turn(request, stage, force=force):
        return run(request, stage, force=force, show=_show_curve)


@stage_task("Train the reference without a network", pool="training")
def baseline(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Fit TF-IDF with logistic regression on the same labelled examples."""
    return run(request, stage, force=force)


def _show_curve(line: Line, result: StageResult) -> None:
    """Publish the loss curve as a picture."""
    metrics = Path(result.folder) / "metrics.jsonl"
    if not metrics.is_file():
        return
    key = artifact_key(line.recipe.name, result.stage, "curve")
    with published_or_logged(key):
        publish_markdown(
            key, picture_markdown(f"Loss of {result.stage}", loss_curve(metrics)), f"Loss of {result.stage}"
        )
