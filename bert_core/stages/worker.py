"""A process that does jobs for another: `python -m bert_core.stages.worker`.

Jobs come as JSON lines on standard input, events go as JSON lines to standard output (`bert_core/job_events.py`), one
result or error for each job. When standard input ends, the process that asked is gone or has no more to do, and this
one ends at once, in the middle of a job as well: what it leaves behind carries no seal.
"""

import json
import os
import signal
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any

from bert_core.errors import BertlineError
from bert_core.stages.jobs import run_job

_SECONDS_BETWEEN_EVENTS = 0.2


def _emit(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class _Reporting:
    """A progress listener that writes a few events a second."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, unit: str, **measures: float) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_EVENTS:
            self._last = now
            _emit({"event": "progress", "done": done, "total": total, "unit": unit, "measures": measures})


def _read_jobs(jobs: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def main() -> None:
    """Do jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked decides when to stop
    jobs: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    while True:
        try:
            _emit({"event": "result", "counts": run_job(json.loads(jobs.get()), _Reporting())})
        except BertlineError as error:
            _emit({"event": "error", "kind": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main()
