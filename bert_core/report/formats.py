"""How a report writes numbers: short, with their unit, a dash where there is none."""

DASH = "–"


def count(value: float | None) -> str:
    """Write a whole number with separators: 19484 -> `19,484`."""
    return DASH if value is None else f"{value:,.0f}"


def decimal(value: float | None, digits: int) -> str:
    """Write a number with a fixed number of digits after the point."""
    return DASH if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Write a share as percent: 0.9167 -> `91.7 %`."""
    return DASH if value is None else f"{100 * value:.1f} %"


def duration(seconds: float | None) -> str:
    """Write a time span: 0.31 -> `0.31 s`, 75 -> `1 min 15 s`, 7260 -> `2 h 1 min`."""
    if seconds is None:
        return DASH
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds >= 0.095 else f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(num_bytes: float | None) -> str:
    """Write a size in bytes: 830 -> `830 B`, 1536 -> `1.5 KiB`."""
    if num_bytes is None:
        return DASH
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" or num_bytes >= 99.5 else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} TiB"
