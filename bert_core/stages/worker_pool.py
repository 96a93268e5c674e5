"""Processes that do jobs for the stages of this one, so that text is read on all processors at once.

A process starts when a job finds none free, and stays for the jobs of other stages; `end_idle` ends those without
work, as does the end of this process, however it ends. A job that raises, or whose listener does, ends for good: a
process that may still be writing is killed, and its files are swept by the next build, which holds the lock.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from bert_core.errors import WorkError
from bert_core.job_events import error_of, parse_event
from bert_core.progress import Progress
from bert_core.stages.jobs import Job


class WorkerPool:
    """Worker processes; any thread may ask for a job."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._free: list[subprocess.Popen[str]] = []
        self._num_busy = 0
        self._ends_with_us = False

    def run(self, job: Job, progress: Progress, num_processes: int) -> dict[str, Any]:
        """Run a job in a process of its own, when fewer than `num_processes` are busy, and return its counts.

        Args:
            job: of `bert_core/stages/jobs.py`.
            progress: told what the process reports; what it raises ends the job.
            num_processes: how many may work at once, 1 at least.

        Raises:
            BertlineError: of the builder; WorkError where the process died.
        """
        worker = self._take(num_processes)
        try:
            event = _ask(worker, job, progress)
        except BaseException:
            worker.kill()
            worker.communicate()
            self._let_go(None)
            raise
        self._let_go(worker)
        if event["event"] == "error":
            raise error_of(event, WorkError)
        return event["counts"]

    def end_idle(self) -> None:
        """End the processes that have no job."""
        with self._changed:
            idle, self._free = self._free, []
        for worker in idle:
            worker.communicate()

    def _take(self, num_processes: int) -> "subprocess.Popen[str]":
        with self._changed:
            self._changed.wait_for(lambda: self._num_busy < num_processes)
            self._num_busy += 1
            while self._free:
                worker = self._free.pop()
                if worker.poll() is None:
                    return worker
                worker.communicate()
            if not self._ends_with_us:
                self._ends_with_us = True
                atexit.register(self.end_idle)
        try:
            return _started()
        except OSError as error:
            self._let_go(None)
            raise WorkError(f"a worker process cannot be started: {error}; set work.processors to 1") from error

    def _let_go(self, worker: "subprocess.Popen[str] | None") -> None:
        with self._changed:
            self._num_busy -= 1
            if worker is not None:
                self._free.append(worker)
            self._changed.notify()


def _started() -> "subprocess.Popen[str]":
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "bert_core.stages.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path},
    )


def _ask(worker: "subprocess.Popen[str]", job: Job, progress: Progress) -> dict[str, Any]:
    """Hand a job to a process and wait for its last event: the result or an error."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
    except BrokenPipeError:
        raise WorkError(_describe_death(worker, job)) from None
    for line in worker.stdout:
        event = parse_event(line)
        if event.get("event") == "progress":
            progress(event["done"], event["total"], event["unit"], **event["measures"])
        elif event.get("event") in ("result", "error"):
            return event
    raise WorkError(_describe_death(worker, job))


def _describe_death(worker: "subprocess.Popen[str]", job: Job) -> str:
    code = worker.wait()
    what = f"the worker process of a {job['kind']} job"
    if code == -signal.SIGKILL:
        return f"{what} was killed (out of memory?); set work.processors lower, or run again to go on"
    if code < 0:
        return f"{what} died of {signal.Signals(-code).name}; run again to go on"
    return f"{what} ended with code {code} and no result; its own message stands above"


workers = WorkerPool()
"""The processes of this one; none runs before a job is asked for."""
