"""How long work tells the world how far it is: a callback of numbers, no terminal and no server in it.

A core function takes `progress: Progress` and calls `progress(done, total, unit)` as often as it likes;
who listens (a rich bar, plain lines, a Prefect artifact, nobody) is decided by the caller. The listener
must be cheap and must throttle itself.
"""

from typing import Protocol


class Progress(Protocol):
    """A listener of progress."""

    def __call__(self, done: int, total: int, unit: str, **measures: float) -> None:
        """Take note that `done` of `total` `unit` (rows, bytes, steps, examples) are finished.

        Args:
            done: finished so far, in `unit`.
            total: expected in all, in `unit`; 0 where it is not known.
            unit: plural noun: "rows", "bytes", "steps", "examples".
            measures: numbers worth showing beside it, such as `loss=3.2`.
        """


def silent(done: int, total: int, unit: str, **measures: float) -> None:
    """Listen to nothing."""
