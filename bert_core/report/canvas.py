"""The blank sheet that charts are drawn on, and the way of an SVG into a page.

matplotlib's object-oriented interface with its bundled font, under matplotlib's own defaults whatever a matplotlibrc
says: no pyplot, no window system, no date in the file, ids from a fixed salt. Equal drawings give equal bytes.
"""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

ImageFormat = Literal["png", "svg"]

COLOURS = {
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


@contextmanager
def figure_of(width_inches: float, height_inches: float, image_format: ImageFormat) -> Iterator[Any]:
    """Give a figure to draw on and a function that gives its bytes after the block."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | {
        "svg.hashsalt": "bertline",
        "svg.fonttype": "none",
        "font.family": ["DejaVu Sans"],
        "font.size": 9.0,
        "axes.edgecolor": COLOURS["rule"],
        "axes.labelcolor": COLOURS["muted"],
        "axes.titlecolor": COLOURS["muted"],
        "axes.titlesize": 9.0,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": COLOURS["rule"],
        "grid.linewidth": 0.6,
        "xtick.color": COLOURS["muted"],
        "ytick.color": COLOURS["muted"],
        "legend.frameon": False,
        "legend.fontsize": 8.0,
        "legend.labelcolor": COLOURS["ink"],
        "text.color": COLOURS["ink"],
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


def inline_svg(svg: bytes, title: str) -> str:
    """Turn an SVG of this module into markup for an HTML page.

    Its colours become the page's CSS variables (`#3457d5` -> `var(--accent)`), so that it follows light and dark;
    its size becomes that of its place; ids that nothing refers to go, so that several fit on one page.

    Args:
        svg: a picture of `plots.py`.
        title: what a screen reader says.
    """
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    viewbox = re.search(r'viewBox="[^"]*"', text)
    label = html.escape(title, quote=True)
    opening = f'<svg class="plot" role="img" aria-label="{label}" {viewbox.group(0) if viewbox else ""}>'
    text = opening + text[text.index(">") + 1 :]
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text.strip()
