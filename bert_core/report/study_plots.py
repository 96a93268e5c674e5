"""Pictures of a study as PNG or SVG: every seed of every start, and the way of each transfer.

Scores are drawn in percent. A dot is a seed, a bar reaches from one standard deviation below the mean to one above.
"""

from typing import Any

from bert_core.report.canvas import COLOURS, ImageFormat, figure_of
from bert_core.report.study import TaskStudy, score_words


def starts_plot(study: TaskStudy, image_format: ImageFormat = "svg") -> bytes:
    """Draw the seeds, the mean and the spread of every start of a task, references as lines."""
    arms = (*study.orders, *study.variants)
    with figure_of(6.4, 1.0 + 0.34 * len(arms), image_format) as (figure, image):
        axes = figure.subplots()
        for position, arm in enumerate(arms):
            colour = COLOURS["warm" if arm.kind == "variant" else "accent"]
            spread = 100 * (arm.spread or 0.0)
            axes.plot([100 * arm.mean - spread, 100 * arm.mean + spread], [position] * 2, color=colour, linewidth=2.4)
            axes.plot([100 * score for score in arm.scores], [position] * len(arm.scores), "o", color=colour, alpha=0.5)
            axes.plot([100 * arm.mean], [position], "|", color=COLOURS["ink"], markersize=14, markeredgewidth=1.8)
        for name, score in study.references:
            axes.axvline(100 * score, color=COLOURS["muted"], linestyle=":", linewidth=1.2)
            axes.text(100 * score, -0.75, name, ha="center", color=COLOURS["muted"], fontsize=8)
        axes.set_yticks(range(len(arms)), [_label(study, arm.name) for arm in arms])
        axes.set_ylim(len(arms) - 0.5, -1.1)
        axes.set_xlabel(f"{score_words(study)} on test, %; a dot for each seed")
        axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
    return image()


def curve_plot(study: TaskStudy, image_format: ImageFormat = "svg") -> bytes:
    """Draw the score of fine-tuning from points on the way of each transfer of the recipe's own order."""
    orders = list(dict.fromkeys(point.order for point in study.curve))
    with figure_of(3.4 * max(len(orders), 1), 2.8, image_format) as (figure, image):
        panels = figure.subplots(1, max(len(orders), 1), sharey=True, squeeze=False)[0]
        for axes, order in zip(panels, orders, strict=False):
            points = [point for point in study.curve if point.order == order]
            axes.errorbar(
                [point.steps for point in points],
                [100 * point.mean for point in points],
                yerr=[100 * (point.spread or 0.0) for point in points],
                color=COLOURS["accent"],
                marker="o",
                markersize=4,
                capsize=3,
            )
            axes.set_title(f"{order}: steps of its last transfer", loc="left")
            axes.set_ylim(*_limits(study))
        panels[0].set_ylabel(f"{score_words(study)}, %")
    return image()


def _label(study: TaskStudy, name: str) -> str:
    return f"{name} (this recipe)" if name == study.own else name


def _limits(study: TaskStudy) -> tuple[Any, Any]:
    low = min(point.mean - (point.spread or 0.0) for point in study.curve)
    high = max(point.mean + (point.spread or 0.0) for point in study.curve)
    room = 0.08 * (high - low) or 0.01
    return 100 * (low - room), 100 * (high + room)
