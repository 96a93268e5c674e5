"""What became of one stage in a run: names and numbers, for those who show it."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """What became of one stage in a run."""

    stage: str
    """Stage id."""
    action: Literal["built", "reused"]
    """Whether its output was made now."""
    reason: str
    """Why, in words."""
    fingerprint: str
    """Of its output; of all its members for a group of slices."""
    folder: str
    """Where the output lies; the folder of the kind for a group."""
    counts: dict[str, Any]
    """Counts of the manifest."""
    seconds: float
    """Wall time of the build, seconds; that of the original build where it was reused."""
