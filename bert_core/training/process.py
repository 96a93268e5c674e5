"""Run a training job in a process of its own, and bring its progress, result or error back.

Torch's threads, its memory and the C library's allocator settings stay out of the caller. The child is in the caller's
process group, so whatever stops the group stops it; a signal to the caller alone is passed on, and a child whose
parent is gone stops by itself. Where a job is for several processes, the child starts them (`launch.py`). Torch is not
imported here.

The C library and OpenMP read their settings once, when a process begins. Those of the allocator keep freed memory in
the process instead of giving it back and faulting it in again at each step, a third of the time of a small model's
step on CPU.
"""

import collections
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bert_core import errors
from bert_core.job_events import error_of, parse_event
from bert_core.progress import Progress

SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",  # bytes; only larger blocks come from the system one by one
    "MALLOC_TRIM_THRESHOLD_": "17179869184",  # bytes free at the heap's top before they are given back
    "MALLOC_TOP_PAD_": "268435456",  # bytes asked for beyond what is needed
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS may add in another order each time
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep; spinning starves whoever shares the processors
    "TOKENIZERS_PARALLELISM": "false",
}
_STOP_SECONDS = 60.0
_LOG_LINES = 5


def run_job(job_path: Path, progress: Progress) -> dict[str, Any]:
    """Run the job and wait for it.

    Args:
        job_path: JSON of a `TransferJob` or a `FineTuneJob`; the child's log is written beside it with the ending .log.
        progress: told what the child reports.

    Returns:
        the counts that the job returned.

    Raises:
        BertlineError: the child's own error, by its kind; TrainingError where it died without one.
    """
    log_path = job_path.with_suffix(".log")
    command = [sys.executable, "-m", "bert_core.training", str(job_path), "--parent-pid", str(os.getpid())]
    with log_path.open("ab") as log:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True, env=training_environment()
        )
    result: dict[str, Any] | None = None
    error: errors.BertlineError | None = None
    with _signals_passed_to(child) as passed_on, child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                event = parse_event(line)
                if event.get("event") == "progress":
                    progress(event["done"], event["total"], event["unit"], **event["measures"])
                elif event.get("event") == "result":
                    result = event["counts"]
                elif event.get("event") == "error":
                    first = error_of(event, errors.TrainingError)
                    error = error or first  # of several processes the first one knows why
            child.wait()
        except BaseException:
            _end(child)
            raise
    if passed_on:
        os.kill(os.getpid(), passed_on[0])  # for whoever listened before; by default this ends the process
    if error is not None:
        raise error
    if child.returncode != 0 or result is None:
        raise errors.TrainingError(_describe_death(child.returncode, log_path))
    return result


def training_environment() -> dict[str, str]:
    """Return this process's environment with the settings for training, where they are not set already."""
    return {**SETTINGS, "OMP_NUM_THREADS": str(os.cpu_count() or 1), **os.environ}


@contextmanager
def _signals_passed_to(child: subprocess.Popen) -> Iterator[list[int]]:
    """Pass SIGTERM and SIGINT on to the child, and list those that came; in the main thread alone."""
    came: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        came.append(number)
        if child.poll() is None:
            child.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(child: subprocess.Popen) -> None:
    """Ask the child to save and stop, and make it where it does not."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()


def _describe_death(returncode: int, log_path: Path) -> str:
    with log_path.open(encoding="utf-8", errors="replace") as log:
        last = "".join(collections.deque(log, maxlen=_LOG_LINES)).strip()
    if returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
        what = "the training process was killed (out of memory?); lower batch_examples, or run again to go on"
    elif returncode < 0:
        what = f"the training process died of {signal.Signals(-returncode).name}; run again to go on"
    else:
        what = f"the training process ended with code {returncode} and no result"
    return f"{what}; log {log_path}:\n{last}"
