"""Charts as PNG (for Prefect artifacts) or SVG (for the HTML report), byte-identical for equal input.

Text is English; a label in another script is drawn as it is in SVG,
where the browser's fonts apply, and by its number in PNG, where the bundled font has no glyph for it.

Not here: size, fonts, colours and bytes of a picture (`canvas.py`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_core.report.canvas import COLOURS, ImageFormat, figure_of
from bert_core.report.scores import ScoreRow

SMOOTHING = 0.9
"""Weight of the past in the moving average of the training loss; 0.9 looks back about ten points."""
MAX_POINTS = 400
"""A longer curve is drawn through this many of its points."""
_INK_OF_HEAT = 0.55
"""Cells darker than this share of the maximum carry white figures."""


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read a metrics.jsonl: the lines of training steps and those of evaluations, each with its `step`.

    An evaluation says so by `"split": "held_out"` (or `dev`), by `"evaluation": true`, or by keys that begin with
    `held_out_`. A file that is not there has no lines, and the half line that a killed run leaves
    behind is passed over.

    Returns:
        Training lines and evaluation lines; keys of evaluations come without their prefix `held_out_`.
    """
    training: list[dict[str, Any]] = []
    evaluations: list[dict[str, Any]] = []
    if not path.is_file():
        return training, evaluations
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if not isinstance(line, dict) or not isinstance(line.get("step"), int | float):
            continue
        held_out = {key.removeprefix("held_out_"): value for key, value in line.items() if key.startswith("held_out_")}
        if line.get("evaluation") or line.get("split", "train") != "train":
            evaluations.append(line | held_out)
            continue
        if held_out:
            evaluations.append({"step": line["step"], **held_out})
        training.append(line)
    return training, evaluations


def smoothed(values: Sequence[float], past_weight: float = SMOOTHING) -> list[float]:
    """Return the exponential moving average of `values`, corrected for its start.

    Example (past_weight=0.5): `[4, 2, 2]` -> `[4, 2.667, 2.286]`.

    Source: Kingma and Ba 2015, section 3 (the bias correction), arXiv:1412.6980.
    """
    average, weight, result = 0.0, 0.0, []
    for value in values:
        average = past_weight * average + (1 - past_weight) * value
        weight = past_weight * weight + (1 - past_weight)
        result.append(average / weight)
    return result


def loss_curve(metrics_path: Path, image_format: ImageFormat = "png") -> bytes:
    """Draw losses (left) and accuracies (right) of a training stage over its steps.

    Args:
        metrics_path: `metrics.jsonl` of a training stage; may be absent.
        image_format: png or svg.
    """
    with figure_of(8.4, 3.0, image_format) as (figure, image):
        left, right = figure.subplots(1, 2)
        training, evaluations = read_metrics(metrics_path)
        _draw_losses(left, training, evaluations)
        _draw_accuracies(right, training, evaluations)
    return image()


def loss_panels(metrics_path: Path) -> list[bytes]:
    """Draw losses and accuracies as two SVGs that a page can set side by side or one below the other."""
    training, evaluations = read_metrics(metrics_path)
    panels = []
    for draw in (_draw_losses, _draw_accuracies):
        with figure_of(4.4, 2.7, "svg") as (figure, image):
            axes = figure.subplots()
            draw(axes, training, evaluations)
            is_empty = not axes.lines
        if not is_empty:
            panels.append(image())
    return panels


def score_bars(rows: Sequence[ScoreRow], image_format: ImageFormat = "png") -> bytes:
    """Draw the main score of every model as a bar, grouped by task, the model of the run in full colour."""
    shown = [row for row in rows if row.main_score is not None]
    with figure_of(6.4, 0.7 + 0.34 * max(len(shown), 1), image_format) as (figure, image):
        axes = figure.subplots()
        for position, row in enumerate(shown):
            score = row.main_score or 0.0
            axes.barh(position, 100 * score, 0.66, color=COLOURS["faint" if row.is_reference else "accent"])
            axes.text(
                100 * score + 1,
                position,
                f"{100 * score:.1f}",
                va="center",
                color=COLOURS["ink"],
                weight="bold" if row.is_best else "normal",
            )
        axes.set_yticks(range(len(shown)), [f"{row.task}: {row.start}" for row in shown])
        axes.invert_yaxis()
        axes.set_xlim(0, 109)
        axes.set_xlabel(" / ".join(dict.fromkeys(row.main_name for row in shown)) + ", %")
        axes.grid(False)
        axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
    return image()


def confusion_matrix(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], image_format: ImageFormat = "png"
) -> bytes:
    """Draw how often each true class (row) was predicted as each class (column).

    Args:
        matrix: counts, a row for each true class, shape (num_labels, num_labels).
        labels: names of the classes.
        image_format: png or svg.
    """
    counts = np.asarray(matrix, np.int64).reshape(len(labels), len(labels))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [
        label if image_format == "svg" or label.isascii() else f"class {index}" for index, label in enumerate(labels)
    ]
    side = 1.6 + 0.5 * len(labels)
    with figure_of(side + 0.6, side, image_format) as (figure, image):
        from matplotlib.colors import LinearSegmentedColormap

        axes = figure.subplots()
        colours = LinearSegmentedColormap.from_list("counts", [COLOURS["paper"], COLOURS["accent"]])
        axes.pcolormesh(shares, cmap=colours, vmin=0, vmax=1, edgecolors=COLOURS["rule"], linewidth=0.5)
        for (row, column), value in np.ndenumerate(counts):
            dark = shares[row, column] > _INK_OF_HEAT
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:,}",
                ha="center",
                va="center",
                color=COLOURS["paper" if dark else "ink"],
            )
        ticks = np.arange(len(labels)) + 0.5
        axes.set_xticks(ticks, names, rotation=45 if len(labels) > 3 else 0)
        axes.set_yticks(ticks, names)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.grid(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
    return image()


def _draw_losses(axes: Any, training: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> None:
    key = "mlm_loss" if _series(training, "mlm_loss")[0] else "loss"  # the loss that held-out text is judged by
    name = "MLM, training (smoothed)" if key == "mlm_loss" else "training (smoothed)"
    steps, losses = _series(training, key)
    if steps:
        kept = _kept_points(len(steps))
        average = np.array(smoothed(losses))
        axes.plot(np.array(steps)[kept], np.array(losses)[kept], color=COLOURS["faint"], linewidth=0.8)
        axes.plot(np.array(steps)[kept], average[kept], color=COLOURS["accent"], label=name)
    key, name = ("mlm_loss", "MLM, held-out") if _series(evaluations, "mlm_loss")[0] else ("loss", "dev")
    steps, losses = _series(evaluations, key)
    if steps:
        axes.plot(steps, losses, "o-", color=COLOURS["warm"], markersize=3.5, label=name)
    _finish(axes, "loss, nats")


def _draw_accuracies(axes: Any, training: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> None:
    for key, name, colour in (
        ("mlm_accuracy", "MLM", "warm"),
        ("nsp_accuracy", "NSP", "good"),
        ("sop_accuracy", "SOP", "good"),
        ("accuracy", "accuracy", "accent"),
        ("macro_f1", "macro F1", "warm"),
        ("f1", "entity F1", "good"),
    ):
        # a stage without pairs reports NSP as zero loss and zero accuracy: nothing to draw
        lines = [line for line in evaluations if key != "nsp_accuracy" or line.get("nsp_loss") != 0.0]
        steps, values = _series(lines, key)
        where = "held-out" if key.startswith(("mlm", "nsp", "sop")) else "dev"
        if not evaluations:
            steps, values = _series(training, key)
            kept, average = _kept_points(len(steps)), smoothed(values)
            steps, values = [steps[i] for i in kept], [average[i] for i in kept]
            where = "training (smoothed)"
        if steps:
            axes.plot(
                steps,
                [100 * value for value in values],
                "o-" if len(steps) < 40 else "-",
                color=COLOURS[colour],
                markersize=3.5,
                label=f"{name}, {where}",
            )
    axes.set_ylim(0, 103)
    _finish(axes, "accuracy, %")


def _kept_points(num_points: int) -> np.ndarray:
    """Return evenly spread indices of at most MAX_POINTS of `num_points` points, first and last among them."""
    return np.unique(np.linspace(0, max(num_points - 1, 0), min(num_points, MAX_POINTS)).astype(int))


def _finish(axes: Any, unit: str) -> None:
    axes.set_title(unit, loc="left")
    axes.set_xlabel("step")
    if axes.lines:
        axes.legend()
    else:
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", color=COLOURS["muted"])


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Return steps and values of the lines that have a finite number under `key`."""
    pairs = [
        (float(line["step"]), float(line[key]))
        for line in lines
        if isinstance(line.get(key), int | float) and np.isfinite(line[key])
    ]
    return [step for step, _ in pairs], [value for _, value in pairs]
