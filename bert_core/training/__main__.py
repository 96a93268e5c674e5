"""Run one training job in this process: `python -m bert_core.training JOB.json`.

Standard output carries JSON lines and nothing else:

    {"event": "progress", "done": 20, "total": 100, "unit": "steps", "measures": {"loss": 5.1}}
    {"event": "result", "counts": {...}}
    {"event": "error", "kind": "TrainingError", "message": "..."}

Log lines go to standard error. Exit codes: 0 done, 1 the work failed, 2 the job was wrong, 143 or 130 stopped by a
signal.

A transfer with CUDA devices or `processes` more than one becomes as many processes (`launch.py`), of which the first
one reports, and the others only errors. `torchrun -m bert_core.training JOB.json` does the same and more machines.
"""

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from bert_core.errors import BertlineError, RequestError, TrainingError
from bert_core.progress import silent
from bert_core.training.process import SETTINGS, training_environment

_SECONDS_BETWEEN_LINES = 0.5


class _JsonLines:
    """A progress listener that writes at most two lines a second, and always the last."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, done: int, total: int, unit: str, **measures: float) -> None:
        now = time.monotonic()
        if done >= total or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            emit({"event": "progress", "done": done, "total": total, "unit": unit, "measures": measures})


def emit(event: dict[str, Any]) -> None:
    """Write one event as a line; where nobody reads any more, go on without, so that what was trained can be saved."""
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Run the job and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bert_core.training", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("job", type=Path, help="the job, a JSON file")
    parser.add_argument("--parent-pid", type=int, help="stop when this process is no longer the parent")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], help="of a transfer, in place of what its job says"
    )
    parser.add_argument("--rendezvous", help="where the processes of a job meet, file:///...; set by the launcher")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        data = _read(options.job, options.parent_pid)
        if options.device is not None:
            data["device"] = options.device
        num_ranks = _num_ranks(data)
        if num_ranks > 1:
            command = [str(options.job), *(["--device", options.device] if options.device is not None else [])]
            return _launch(command, options.parent_pid, num_ranks)
        counts = _run(data, options.job, options.parent_pid, options.rendezvous)
        if counts is not None:
            emit({"event": "result", "counts": counts})
    except BertlineError as error:
        return _fail(error, error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        advice = "out of memory; lower batch_examples or examples.max_tokens, or take a smaller model"
        return _fail(TrainingError(f"{advice} ({str(error).splitlines()[0] if str(error) else 'MemoryError'})"), 1)
    return 0


def _read(job_path: Path, parent_pid: int | None) -> dict[str, Any]:
    """Read the job as plain values."""
    try:
        data = json.loads(job_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"job {str(job_path)!r} cannot be read: {error}") from error
    if parent_pid is not None and os.getppid() != parent_pid:
        raise TrainingError(f"the process {parent_pid} that asked for this job is gone; run again")
    return data if isinstance(data, dict) else {}


def _num_ranks(data: dict[str, Any]) -> int:
    """Return how many processes are to be started for a job; 1 where this one is to do it, or is one of them."""
    if data.get("kind") != "transfer" or "RANK" in os.environ:
        return 1
    from bert_core.training.job import TransferJob
    from bert_core.training.launch import num_devices

    job = TransferJob.from_dict(data)
    return (num_devices() if job.device != "cpu" else 0) or (job.transfer.processes if job.device != "cuda" else 1)


def _launch(command: list[str], parent_pid: int | None, num_ranks: int) -> int:
    from bert_core.training.launch import run_ranks
    from bert_core.training.stopping import listening_for_stop

    with listening_for_stop(parent_pid, leaves=False) as stop:
        return run_ranks(command, num_ranks, stop)


def _run(data: dict[str, Any], job_path: Path, parent_pid: int | None, rendezvous: str | None) -> dict[str, Any] | None:
    """Run the job, listening for signals from the first moment; None on a rank that has nothing to report."""
    kind = data.get("kind")
    from bert_core.training.stopping import listening_for_stop

    with listening_for_stop(parent_pid) as stop:
        if kind == "transfer":
            from bert_core.training.job import TransferJob
            from bert_core.training.loop import train_transfer
            from bert_core.training.ranks import joined_ranks

            with joined_ranks(rendezvous) as ranks:
                progress = _JsonLines() if ranks.is_first else silent
                counts = train_transfer(TransferJob.from_dict(data), progress, stop, ranks)
                return counts if ranks.is_first else None
        if kind == "fine_tune":
            from bert_core.training.fine_tune_job import FineTuneJob
            from bert_core.training.fine_tuning import run_fine_tune

            return run_fine_tune(FineTuneJob.from_dict(data), _JsonLines(), stop)
    raise RequestError(f"job {str(job_path)!r} is of kind {kind!r}, expected 'transfer' or 'fine_tune'")


def _fail(error: BertlineError, exit_code: int) -> int:
    emit({"event": "error", "kind": type(error).__name__, "message": str(error)})
    return exit_code


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _restart_with_settings() -> None:
    """Begin this process again with the settings for training where it was started without them."""
    if not SETTINGS.keys() <= os.environ.keys():
        command = [sys.executable, "-m", "bert_core.training", *sys.argv[1:]]
        os.execve(sys.executable, command, training_environment())


if __name__ == "__main__":
    _restart_with_settings()
    sys.exit(main())
