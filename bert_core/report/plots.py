"""Charts as PNG (for Prefect artifacts) or SVG (for the HTML report), byte-identical for equal input.

Drawn with matplotlib's object-oriented interface and its bundled font, under matplotlib's own defaults whatever a
matplotlibrc says: no pyplot, no window system. Text is English; a label in another script is drawn as it is in SVG,
where the browser's fonts apply, and by its number in PNG, where the bundled font has no glyph for it.

`inline_svg` turns an SVG into markup for an HTML page whose colours are the page's CSS variables.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bert_core.report.tables import ScoreRow

ImageFormat = Literal["png", "svg"]

SMOOTHING = 0.9
"""Weight of the past in the moving average of the training loss; 0.9 looks back about ten points."""
MAX_POINTS = 400
"""A longer curve is drawn through this many of its points."""
_COLOURS = {
    "ink": "#1f2430",
    "muted": "#6b7280",
    "rule": "#dfe3ea",
    "paper": "#ffffff",
    "accent": "#3457d5",
    "warm": "#c2571a",
    "faint": "#a9b8ee",
    "good": "#12805c",
}
"""CSS variables of the report and the colours they have in a picture of its own (a light page)."""
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
    with _figure(8.4, 3.0, image_format) as (figure, image):
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
        with _figure(4.4, 2.7, "svg") as (figure, image):
            axes = figure.subplots()
            draw(axes, training, evaluations)
            is_empty = not axes.lines
        if not is_empty:
            panels.append(image())
    return panels


def score_bars(rows: Sequence[ScoreRow], image_format: ImageFormat = "png") -> bytes:
    """Draw the main score of every model as a bar, grouped by task, the model of the run in full colour."""
    shown = [row for row in rows if row.main_score is not None]
    with _figure(6.4, 0.7 + 0.34 * max(len(shown), 1), image_format) as (figure, image):
        axes = figure.subplots()
        for position, row in enumerate(shown):
            score = row.main_score or 0.0
            axes.barh(position, 100 * score, 0.66, color=_COLOURS["faint" if row.is_reference else "accent"])
            axes.text(
                100 * score + 1,
                position,
                f"{100 * score:.1f}",
                va="center",
                color=_COLOURS["ink"],
                weight="bold" if row.is_best else "normal",
            )
        axes.set_yticks(range(len(shown)), [f"{row.task}: {row.start}" for row in shown])
        axes.invert_yaxis()
        axes.set_xlim(0, 109)
        axes.set_xlabel(" / ".join(dict.fromkeys(row.main_name for row in shown)) + ", %")
        axes.grid(False)
        axes.tick_params(axis="y", length=0, labelcolor=_COLOURS["ink"])
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
    with _figure(side + 0.6, side, image_format) as (figure, image):
        from matplotlib.colors import LinearSegmentedColormap

        axes = figure.subplots()
        colours = LinearSegmentedColormap.from_list("counts", [_COLOURS["paper"], _COLOURS["accent"]])
        axes.pcolormesh(shares, cmap=colours, vmin=0, vmax=1, edgecolors=_COLOURS["rule"], linewidth=0.5)
        for (row, column), value in np.ndenumerate(counts):
            dark = shares[row, column] > _INK_OF_HEAT
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:,}",
                ha="center",
                va="center",
                color=_COLOURS["paper" if dark else "ink"],
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


def inline_svg(svg: bytes, title: str) -> str:
    """Turn an SVG of this module into markup for an HTML page.

    Its colours become the page's CSS variables (`#3457d5` -> `var(--accent)`), so that it follows light and dark;
    its size becomes that of its place; ids that nothing refers to go, so that several fit on one page.

    Args:
        svg: from `loss_panels`, `score_bars` or `confusion_matrix`.
        title: what a screen reader says.
    """
    import html

    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    viewbox = re.search(r'viewBox="[^"]*"', text)
    label = html.escape(title, quote=True)
    opening = f'<svg class="plot" role="img" aria-label="{label}" {viewbox.group(0) if viewbox else ""}>'
    text = opening + text[text.index(">") + 1 :]
    for name, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text.strip()


def _draw_losses(axes: Any, training: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> None:
    key = "mlm_loss" if _series(training, "mlm_loss")[0] else "loss"  # the loss that held-out text is judged by
    name = "MLM, training (smoothed)" if key == "mlm_loss" else "training (smoothed)"
    steps, losses = _series(training, key)
    if steps:
        kept = _kept_points(len(steps))
        average = np.array(smoothed(losses))
        axes.plot(np.array(steps)[kept], np.array(losses)[kept], color=_COLOURS["faint"], linewidth=0.8)
        axes.plot(np.array(steps)[kept], average[kept], color=_COLOURS["accent"], label=name)
    key, name = ("mlm_loss", "MLM, held-out") if _series(evaluations, "mlm_loss")[0] else ("loss", "dev")
    steps, losses = _series(evaluations, key)
    if steps:
        axes.plot(steps, losses, "o-", color=_COLOURS["warm"], markersize=3.5, label=name)
    _finish(axes, "loss, nats")


def _draw_accuracies(axes: Any, training: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> None:
    for key, name, colour in (
        ("mlm_accuracy", "MLM", "warm"),
        ("nsp_accuracy", "NSP", "good"),
        ("accuracy", "accuracy", "accent"),
        ("macro_f1", "macro F1", "warm"),
        ("f1", "entity F1", "good"),
    ):
        steps, values = _series(evaluations, key)
        where = "held-out" if key.startswith(("mlm", "nsp")) else "dev"
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
                color=_COLOURS[colour],
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
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", color=_COLOURS["muted"])


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Return steps and values of the lines that have a finite number under `key`."""
    pairs = [
        (float(line["step"]), float(line[key]))
        for line in lines
        if isinstance(line.get(key), int | float) and np.isfinite(line[key])
    ]
    return [step for step, _ in pairs], [value for _, value in pairs]


@contextmanager
def _figure(width_inches: float, height_inches: float, image_format: ImageFormat) -> Iterator[Any]:
    """Give a figure to draw on and a function that gives its bytes after the block."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | {
        "svg.hashsalt": "bertline",
        "svg.fonttype": "none",
        "font.family": ["DejaVu Sans"],
        "font.size": 9.0,
        "axes.edgecolor": _COLOURS["rule"],
        "axes.labelcolor": _COLOURS["muted"],
        "axes.titlecolor": _COLOURS["muted"],
        "axes.titlesize": 9.0,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": _COLOURS["rule"],
        "grid.linewidth": 0.6,
        "xtick.color": _COLOURS["muted"],
        "ytick.color": _COLOURS["muted"],
        "legend.frameon": False,
        "legend.fontsize": 8.0,
        "legend.labelcolor": _COLOURS["ink"],
        "text.color": _COLOURS["ink"],
        "lines.linewidth": 1.6,
    }
    for name in ("backend", "backend_fallback", "interactive"):
        settings.pop(name, None)
    data: list[bytes] = []
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width_inches, height_inches), dpi=144, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, lambda: data[0]
        if image_format == "svg":
            figure.patch.set_visible(False)
            for axes in figure.axes:
                axes.patch.set_visible(False)
        buffer = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if image_format == "svg" else {"Software": None}
        figure.savefig(buffer, format=image_format, metadata=metadata)
        data.append(buffer.getvalue())
