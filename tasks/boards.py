"""Boards on which progress is shown: plain lines, bars on a terminal, an artifact in the Prefect UI.

A board gets a `Notice` whenever a stage tells how far it is, from several threads, as often as it pleases, and shows
what is worth showing. Who puts up which board is the matter of `progress.py`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from uuid import UUID

from bert_core.report.tables import duration

LINE_SECONDS = 10.0
"""Time between two plain lines of one stage, seconds."""
ARTIFACT_SECONDS = 5.0
"""Time between two updates of one progress artifact, seconds."""


@dataclass(frozen=True)
class Notice:
    """How far one stage is at one moment."""

    stage: str
    """Stage id."""
    done: int
    """Finished so far, in `unit`."""
    total: int
    """Expected in all, in `unit`; 0 where it is not known."""
    unit: str
    """Plural noun."""
    per_second: float
    """Mean pace since the first notice, `unit` a second; 0 where it is not known yet."""
    measures: dict[str, float] = field(default_factory=dict)
    """Numbers worth showing beside it."""

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at this pace, seconds; None where it cannot be told."""
        if not self.total or self.per_second <= 0:
            return None
        return max(self.total - self.done, 0) / self.per_second

    def describe(self) -> str:
        """Word the notice: `120 of 1,000 steps (12 %), 8.1 steps/s, 1 min 49 s left, loss 3.21`."""
        parts = [f"{self.done:,} {self.unit}"]
        if self.total:
            share = 100 * self.done / self.total
            parts = [f"{self.done:,} of {self.total:,} {self.unit} ({share:.0f} %)"]
        if self.per_second > 0 and not self.unit.startswith("seconds"):
            parts.append(f"{_short(self.per_second)} {self.unit}/s")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        parts += [f"{name.replace('_', ' ')} {_short(value)}" for name, value in self.measures.items()]
        return ", ".join(parts)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Board(Protocol):
    """Where the progress of several stages is shown; its methods are called from several threads."""

    def show(self, notice: Notice) -> None:
        """Take note of a stage's progress."""

    def clear(self, stage: str) -> None:
        """Forget a stage that has ended."""

    def say(self, text: str) -> None:
        """Show a line that stays."""


class LineBoard:
    """A plain line for each stage now and then; the first once a stage has run for `every_seconds`."""

    def __init__(
        self,
        write: Callable[[str], None],
        every_seconds: float = LINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._every_seconds = every_seconds
        self._clock = clock
        self._due: dict[str, float] = {}

    def show(self, notice: Notice) -> None:
        """Write a line if the last one of this stage is old enough."""
        now = self._clock()
        if now >= self._due.setdefault(notice.stage, now + self._every_seconds):
            self._due[notice.stage] = now + self._every_seconds
            self._write(f"{notice.stage}: {notice.describe()}")

    def clear(self, stage: str) -> None:
        """Forget a stage that has ended."""
        self._due.pop(stage, None)

    def say(self, text: str) -> None:
        """Write a line now."""
        self._write(text)


class BarBoard:
    """A bar for each running stage, on a terminal that rich can draw on."""

    def __init__(self, console: Any) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._bars = Progress(
            TextColumn("{task.fields[stage]}", style="bold", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=5,
        )
        self._ids: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "BarBoard":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, notice: Notice) -> None:
        """Move the bar of a stage."""
        with self._lock:
            if notice.stage not in self._ids:
                self._ids[notice.stage] = self._bars.add_task("", stage=notice.stage)
            self._bars.update(
                self._ids[notice.stage],
                total=notice.total or None,
                completed=notice.done,
                description=notice.describe(),
            )

    def clear(self, stage: str) -> None:
        """Take the bar of a stage away."""
        with self._lock:
            if stage in self._ids:
                self._bars.remove_task(self._ids.pop(stage))

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


class ArtifactBoard:
    """A progress artifact of one stage in the Prefect UI, made once the stage has run for `every_seconds`.

    Each update is a request of some 15 ms to the server. A server that does not answer is no reason to lose
    the work: the fault is logged once and the artifact is given up.
    """

    def __init__(
        self,
        key: str,
        every_seconds: float = ARTIFACT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = key
        self._every_seconds = every_seconds
        self._clock = clock
        self._due: float | None = None
        self._id: UUID | None = None
        self._last: Notice | None = None
        self._given_up = False

    def show(self, notice: Notice) -> None:
        """Create or move the artifact if its last update is old enough."""
        self._last = notice
        now = self._clock()
        if self._due is None:
            self._due = now + self._every_seconds
        if now >= self._due and notice.total:
            self._due = now + self._every_seconds
            self._publish(notice)

    def clear(self, stage: str) -> None:
        """Bring an artifact that was made to its last value."""
        if self._id is not None and self._last is not None:
            self._publish(self._last)

    def say(self, text: str) -> None:
        """Show nothing: an artifact is a number."""

    def _publish(self, notice: Notice) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        from tasks.artifacts import published_or_logged

        if self._given_up:
            return
        percent = min(100.0, 100.0 * notice.done / notice.total) if notice.total else 0.0
        self._given_up = True  # until it worked
        with published_or_logged(self._key):
            if self._id is None:
                made = create_progress_artifact(percent, key=self._key, description=notice.describe())
                self._id = cast(UUID, made)  # a coroutine only where an event loop runs
            else:
                update_progress_artifact(self._id, percent, description=notice.describe())
            self._given_up = False
