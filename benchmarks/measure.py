"""Run one side in a process of its own and take its time, processor time and peak memory.

`run_alone("benchmarks.ours:build", ...)` starts `python -m benchmarks.measure`, so that no side inherits
another's loaded libraries, compiled code, threads or memory. The function that runs there takes its own time
(warm-up left out) and returns plain values; memory is looked at from here, over the process and all its
children.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_LOOK_SECONDS = 0.1


@dataclass
class Clock:
    """Seconds that a block took, once it is over."""

    seconds: float = 0.0
    """Wall time."""
    cpu_seconds: float = 0.0
    """Processor time, children that have ended included."""


@contextmanager
def clock():
    """Time a block.

    Example: `with clock() as taken: build()`, and after it `taken.seconds`.
    """
    taken = Clock()
    began, began_cpu = time.perf_counter(), _cpu_seconds()
    yield taken
    taken.seconds, taken.cpu_seconds = time.perf_counter() - began, _cpu_seconds() - began_cpu


def best_rate(work: Callable[[], object], amount: float, seconds: float) -> float:
    """Repeat work of one thread for about `seconds`, three times at least; return the best amount per second.

    Seconds are processor time, which is wall time where nothing else runs and is not disturbed where something does.
    """
    rates: list[float] = []
    until = time.perf_counter() + seconds
    while len(rates) < 3 or time.perf_counter() < until:
        began = time.process_time()
        work()
        rates.append(amount / (time.process_time() - began))
    return max(rates)


def run_alone(function: str, environment: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """Call `module:function` in a fresh process.

    Args:
        function: `module:function`; it takes keyword arguments and returns a dict, both of plain JSON values.
        environment: variables that the process gets besides.
        arguments: for the function.

    Returns:
        What it returned, and `process_seconds` (from its start to its end), `until_done_seconds` (to the return of the
        function) and `peak_mib` (anonymous memory of the process and its children; pages of mapped files can be dropped
        at any time and are not counted).

    Raises:
        RuntimeError: it failed; the message ends with what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="bertline-measure-") as folder:
        answer, errors = Path(folder, "answer.json"), Path(folder, "errors.txt")
        call = [sys.executable, "-m", "benchmarks.measure", function, json.dumps(arguments), str(answer)]
        env = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", **(environment or {})}
        env["PYTHONPATH"] = str(_ROOT)
        began, began_at, peak_kib = time.perf_counter(), time.time(), 0
        with errors.open("w") as wrong:
            process = subprocess.Popen(call, stdout=wrong, stderr=wrong, env=env, cwd=_ROOT)
            while process.poll() is None:
                peak_kib = max(peak_kib, sum(_anonymous_kib(pid) for pid in _family(process.pid)))
                time.sleep(_LOOK_SECONDS)
        if process.returncode or not answer.exists():
            raise RuntimeError(f"{function} ended with {process.returncode}:\n{errors.read_text()[-3000:]}")
        result = json.loads(answer.read_text())
        result["process_seconds"] = time.perf_counter() - began
        result["until_done_seconds"] = result.pop("done_at") - began_at
        result["peak_mib"] = peak_kib / 1024
        return result


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for member in found:
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
    return found


def _anonymous_kib(pid: int) -> int:
    """Memory that is the process's own, its share of what it inherited by fork included."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def _main() -> None:
    function, arguments, answer = sys.argv[1:]
    module, name = function.split(":")
    result = getattr(import_module(module), name)(**json.loads(arguments))
    result["done_at"] = time.time()
    Path(answer).write_text(json.dumps(result))


if __name__ == "__main__":
    _main()
