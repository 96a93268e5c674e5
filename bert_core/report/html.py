"""The one-file HTML report: opened from a disk or an artifact store, it needs no network and no server.

The page is a pure function of a `RunView`: no clock, no absolute path, no random id, so equal runs give equal bytes.
Every text of the run passes through jinja2's escaping; characters that reorder or hide text are shown by their code
point; long texts fold. A content security policy in the page allows no request at all and only the page's own script,
by its digest, so that even a text that slipped through could do nothing.

Not here: reading manifests and folders (`collect.py`), charts (`plots.py`), the lineage drawing (`lineage.py`).
"""

import base64
import hashlib
import re
import unicodedata
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bert_core.report import formats
from bert_core.report.lineage import draw_lineage
from bert_core.report.view import RunView, TaskView

REPORT_NAME = "report.html"
FOLD_AFTER_CHARACTERS = 240
"""A longer text is folded behind its beginning."""
MAX_CHARACTERS = 20_000
"""What is longer is cut, and the page says so."""
_HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, bidirectional controls and characters without width; lone newlines are shown by `visible`."""


def write_report(folder: Path, run: RunView) -> Path:
    """Write `report.html` into a folder.

    Args:
        folder: exists.
        run: from `collect.collect_run`.

    Returns:
        Path of the report.
    """
    path = folder / REPORT_NAME
    path.write_bytes(render_report(run).encode("utf-8", errors="replace"))
    return path


def page_environment() -> Environment:
    """Return what pages are rendered in: templates of this folder, everything escaped, an unknown name an error."""
    environment = Environment(
        loader=PackageLoader("bert_core.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": formats.count,
        "percent": formats.percent,
        "decimal": formats.decimal,
        "duration": formats.duration,
        "size": formats.size,
        "visible": visible,
        "folded": folded,
        "points": points,
    }
    return environment


def render_report(run: RunView) -> str:
    """Return the page as text."""
    environment = page_environment()
    source = environment.loader
    assert source is not None
    script = source.get_source(environment, "report.js")[0]
    return environment.get_template("report.html.j2").render(
        run=run,
        style=Markup(source.get_source(environment, "report.css")[0]),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        lineage=Markup(draw_lineage(run.nodes)),
        epochs=epochs_of(run),
        verdict=verdict,
    )


def visible(text: object) -> Markup:
    """Escape a text and show what would hide in it: `a\u202eb` -> `a`, a chip `U+202E`, `b`.

    A newline becomes a return arrow and a line break.
    """
    parts = []
    last = 0
    value = str(text)
    for match in _HIDDEN.finditer(value):
        code = match.group()
        name = unicodedata.name(code, "control character").lower()
        parts += [
            escape(value[last : match.start()]),
            Markup('<span class="code" title="{}">U+{:04X}</span>').format(name, ord(code)),
        ]
        last = match.end()
    parts.append(escape(value[last:]))
    return Markup("").join(parts).replace("\n", Markup('<span class="return">↵</span>\n'))


def without_hidden(text: str) -> str:
    """Leave out what `visible` would show by its code point, for text that is searched and not shown."""
    return _HIDDEN.sub("", text)


def folded(text: object, limit: int = FOLD_AFTER_CHARACTERS) -> Markup:
    """Show a text whole where it is short, else its beginning with an expander for the rest.

    The text stands in an element of its own direction, so that it cannot turn what is around it.
    """
    value = str(text)
    if len(value) <= limit:
        return Markup("<bdi>{}</bdi>").format(visible(value))
    rest, cut = value[limit:MAX_CHARACTERS], max(0, len(value) - MAX_CHARACTERS)
    note = (
        Markup('<span class="muted"> … cut here, {} more characters</span>').format(formats.count(cut)) if cut else ""
    )
    return Markup(
        '<details class="fold"><summary><bdi>{}</bdi><span class="more">{} more characters</span></summary>'
        "<bdi>{}</bdi>{}</details>"
    ).format(visible(value[:limit]), formats.count(len(value) - limit), visible(rest), note)


def points(difference: float | None) -> str:
    """Write a difference of shares in points: 0.031 -> `+3.1`, -0.004 -> `−0.4`."""
    if difference is None:
        return formats.DASH
    rounded = round(100 * difference, 1)
    return f"{'−' if rounded < 0 else '+'}{abs(rounded):.1f}"


def epochs_of(run: RunView) -> list[int]:
    """Return the epochs whose masks the examples carry, ascending."""
    return sorted({mask.epoch for card in run.examples for token in card.tokens for mask in token.masks})


def verdict(task: TaskView) -> str:
    """Say in a line how the model of the run stands against its references."""
    own = next((row for row in task.scores if not row.is_reference), None)
    references = [row for row in task.scores if row.is_reference and row.main_score is not None]
    if own is None or own.main_score is None:
        return "not scored"
    if not references:
        return "no reference was trained beside it"
    best = max(references, key=lambda row: row.main_score or 0.0)
    if task.gain is None or round(100 * task.gain, 1) == 0.0:
        return f"level with the best reference ({best.start})"
    place = "over" if task.gain > 0 else "against"
    return f"{points(task.gain)} points {place} the best reference ({best.start})"
