"""Tasks that train: transfer stages, fine-tuning, and the reference without a network.

Training itself runs in a process of its own (`bert_core/training/process.py`). On one machine and workspace trainings
take turns by a lock that the operating system drops when its holder dies.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from prefect.client.schemas.objects import State

from bert_core.report.plots import loss_curve
from bert_core.stages.build import StageResult
from bert_core.stages.line import Line, LineRequest, open_line
from tasks.artifacts import artifact_key, picture_markdown, publish_markdown, published_or_logged
from tasks.policies import stage_task
from tasks.progress import listen
from tasks.stage import StageOutcome, run

Inputs = list[StageOutcome]

TURN_SECONDS = 1.0
"""How often a training that waits for its turn looks again, seconds."""


@stage_task("Train a transfer stage", pool="training")
def train_transfer(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Train masked language modelling and next-sentence prediction, from the stage before."""
    with _turn(request, stage):
        return run(request, stage, force=force, show=_show_curve)


@stage_task("Fine-tune", pool="training")
def fine_tune(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Fine-tune a checkpoint for a task and score it on the task's test set."""
    with _turn(request, stage):
        return run(request, stage, force=force, show=_show_curve)


@stage_task("Train the reference without a network", pool="training")
def baseline(request: LineRequest, stage: str, inputs: Inputs, force: bool = False) -> State[StageOutcome]:
    """Fit TF-IDF with logistic regression on the same labelled examples."""
    return run(request, stage, force=force)


@contextmanager
def _turn(request: LineRequest, stage: str) -> Iterator[None]:
    """Wait until no other training of this workspace runs; an interrupt ends the wait."""
    root = open_line(request).workspace.root
    root.mkdir(parents=True, exist_ok=True)
    lock, began = FileLock(root / ".training-lock"), time.monotonic()
    with listen(stage) as progress:
        while True:
            try:
                lock.acquire(timeout=TURN_SECONDS)
                break
            except Timeout:
                progress(int(time.monotonic() - began), 0, "seconds waiting for another training")
    try:
        yield
    finally:
        lock.release()


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
