"""Stop when asked to: the first SIGTERM or SIGINT sets a flag, a later one leaves at once.

The loop reads the flag between steps, saves and raises `TrainingStopped`, whose exit code is 128 + signal (143, 130).
Signals within a second of the first count as the same one, because a terminal and a supervisor may both
send it. A process whose parent is gone asks itself to stop, and leaves where it has not within a minute.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

from bert_core.errors import TrainingError

_SAME_SIGNAL_SECONDS = 1.0
_ALONE_SECONDS = 60.0
"""How long a process may go on after its parent is gone."""


class TrainingStopped(TrainingError):  # noqa: N818 -- it tells of a request, not of a fault
    """Training was asked to stop and can go on later."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class StopFlag:
    """Whether and by which signal this process was asked to stop."""

    def __init__(self, *, leaves: bool = True) -> None:
        """Begin unasked; `leaves` says that a second signal ends the process instead of being noted."""
        self.signal_number: int | None = None
        self.is_asked_again = False
        self._asked_at = 0.0
        self._leaves = leaves

    def ask(self, signal_number: int, _frame: object = None) -> None:
        """Take note of a signal; leave the process where it is a later one."""
        if self.signal_number is None:
            self.signal_number, self._asked_at = signal_number, time.monotonic()
        elif time.monotonic() - self._asked_at > _SAME_SIGNAL_SECONDS:
            self.is_asked_again = True
            if self._leaves:
                os._exit(128 + signal_number)


@contextlib.contextmanager
def listening_for_stop(parent_pid: int | None = None, *, leaves: bool = True) -> Iterator[StopFlag]:
    """Turn SIGTERM and SIGINT into a flag, and watch that `parent_pid` stays the parent.

    Outside the main thread signals stay as they are. `leaves` as in `StopFlag`.
    """
    flag, done = StopFlag(leaves=leaves), threading.Event()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, flag.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    watcher = None
    if parent_pid is not None:

        def watch() -> None:
            while not done.wait(1.0):
                if os.getppid() != parent_pid:
                    if flag.signal_number is None:
                        flag.ask(signal.SIGTERM)
                    if not done.wait(_ALONE_SECONDS):  # it hangs, perhaps in wait for a process that is gone
                        os._exit(128 + signal.SIGTERM)

        watcher = threading.Thread(target=watch, name="parent-watch", daemon=True)
        watcher.start()
    try:
        yield flag
    finally:
        done.set()
        if watcher is not None:
            watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
