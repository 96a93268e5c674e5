"""Counts of manifests read with care: a count that an older store lacks, or has in another form, is None."""

from collections.abc import Iterable, Mapping
from typing import Any


def first_of(counts: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first count that is there under one of `names`, else None."""
    return next((counts[name] for name in names if counts.get(name) is not None), None)


def number(value: Any) -> float | None:
    """Return a number as a float; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(value: Any) -> int | None:
    """Return a number as a whole one; None for anything else."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
