"""The rows of a comparison: what they hold, how they are printed and written as JSON.

A row sets one figure of ours beside the same figure of one peer. `ratio` is always how many times better ours
is (faster, or smaller), so above 1 is good whatever the unit. Nothing is measured here.
"""

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LOWER_IS_BETTER = ("s", "B/token", "MiB", "% of step")
_FILE_COLUMNS = 150
"""Width of the table where no terminal says its own, columns."""
_PACKAGES = (
    "bertline", "numba", "numpy", "pyarrow", "tokenizers", "transformers", "datasets", "torch", "rjieba",
    "flash-tokenizer", "blingfire",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One figure of ours beside a peer's."""

    work: str
    """What is done."""
    ours: float
    """Our figure, in `unit`."""
    peer: float | None
    """The peer's figure; None where no peer does this work."""
    peer_name: str
    """Who, and in which form."""
    unit: str
    """"MB/s" (10^6 bytes of UTF-8 text), "examples/s", "tokens/s", "s", "B/token", "MiB", "%" or "% of step"."""
    ratio: float | None
    """How many times better ours is: faster or smaller."""
    goal: float | None
    """The ratio to reach; None where no goal was set."""
    note: str = ""
    """What each side does, where the two differ."""


def compare(
    work: str,
    ours: float,
    peer: float | None,
    peer_name: str,
    unit: str,
    *,
    goal: float | None = None,
    note: str = "",
) -> Row:
    """Make a row and work out its ratio.

    Example: 60 MB/s beside 0.75 MB/s has ratio 80; 2 B/token beside 7 B/token has ratio 3.5.
    """
    ratio = None
    if peer:
        ratio = peer / ours if unit in LOWER_IS_BETTER else ours / peer
    return Row(work, float(f"{ours:.4g}"), _rounded(peer), peer_name, unit, _rounded(ratio), goal, note)


def machine() -> dict[str, Any]:
    """Describe the machine and the versions of everything that takes part."""
    import os

    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    cpu, memory_bytes = platform.processor(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": named[0] if named else cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": versions,
    }


def markdown(rows: list[Row]) -> str:
    """Lay rows out as a Markdown table with numbered notes under it."""
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    lines = [
        "| work | ours | peer | unit | ratio | goal | peer's name | note |",
        "|---|---:|---:|---|---:|---:|---|---:|",
    ]
    for row in rows:
        number = str(notes.index(row.note) + 1) if row.note else ""
        cells = [row.work, _shown(row.ours), _shown(row.peer), row.unit, _shown(row.ratio), _shown(row.goal)]
        lines.append("| " + " | ".join([*cells, row.peer_name, number]) + " |")
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, start=1))]
    return "\n".join(lines)


def show(rows: list[Row]) -> None:
    """Print rows on the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="ratio: how many times better ours is (faster or smaller)")
    for name, justify in (("work", "left"), ("ours", "right"), ("peer", "right"), ("unit", "left")):
        table.add_column(name, justify=justify)  # type: ignore
    table.add_column("ratio", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("peer's name")
    for row in rows:
        figures = (_shown(row.ours), _shown(row.peer), row.unit, _shown(row.ratio), _shown(row.goal))
        table.add_row(row.work, *figures, row.peer_name)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_COLUMNS)
    console.print(table)
    for note in dict.fromkeys(row.note for row in rows if row.note):
        console.print(f"- {note}", markup=False)


def write_json(path: Path, command: str, rows: list[Row], facts: dict[str, Any]) -> None:
    """Write rows, what was checked on the way, and the machine."""
    content = {"command": command, "machine": machine(), "facts": facts, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
