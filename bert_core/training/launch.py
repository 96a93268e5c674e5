"""Start the processes that share a training on this machine, and end when they have ended.

Each gets RANK, LOCAL_RANK and WORLD_SIZE, as torchrun would set them, and runs `python -m bert_core.training` itself.
torchrun is not used here because it hides what the line goes by: it exits with 1 whatever its processes exited with,
and a second signal to it leaves them behind. On several machines start the module with torchrun.

A signal is passed on once; a second one, a second later or more, kills all. When one process fails the others are
given some seconds to say why, then killed. When this process is killed, the others find their parent gone, save and
stop. Torch is not imported here.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bert_core.training.stopping import StopFlag

_POLL_SECONDS = 0.05
_FAILED_SECONDS = 10.0
"""How long the others may go on after one failed."""
_SAVING_SECONDS = 60.0
"""How long the others may go on after one ended because it was asked to."""


def num_devices() -> int:
    """Return the CUDA devices of this machine, without loading torch where there is surely none."""
    if not any(Path(each).exists() for each in ("/dev/nvidiactl", "/dev/dxg")):
        return 0
    import torch

    return torch.cuda.device_count()


def run_ranks(arguments: Sequence[str], size: int, stop: StopFlag) -> int:
    """Run `python -m bert_core.training ARGUMENTS` as `size` processes and return the exit code.

    Args:
        arguments: of the command; a rendezvous and the pid of this process are added.
        size: number of processes, at least 2.
        stop: of this process, one that notes a second signal instead of leaving.

    Returns:
        0 where all ended well, 128 + signal where they were stopped, else the exit code of the first that failed.
    """
    available = os.environ.get("OMP_NUM_THREADS", "")
    threads = max(1, (int(available) if available.isdigit() else os.cpu_count() or 1) // size)
    with tempfile.TemporaryDirectory(prefix="bertline-ranks-") as folder:
        command = [sys.executable, "-m", "bert_core.training", *arguments, "--parent-pid", str(os.getpid())]
        command += ["--rendezvous", f"file://{folder}/meeting"]
        ranks: list[subprocess.Popen] = []
        with _none_left(ranks):
            for rank in range(size):
                names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "OMP_NUM_THREADS": threads}
                environment = os.environ | {name: str(value) for name, value in names.items()}
                ranks.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))
            return _wait(ranks, stop)


def _wait(ranks: list[subprocess.Popen], stop: StopFlag) -> int:
    """Wait for all, pass a signal on, and give up where one failed or a second signal came."""
    is_passed_on, failed, failed_at = False, 0, 0.0
    while None in [rank.poll() for rank in ranks]:  # each is asked, so that each return code is known
        if stop.signal_number is not None and not is_passed_on:
            is_passed_on = True
            for rank in ranks:
                with contextlib.suppress(ProcessLookupError):
                    rank.send_signal(stop.signal_number)
        if not failed and (codes := [rank.returncode for rank in ranks if rank.returncode]):
            failed, failed_at = codes[0], time.monotonic()
        if stop.signal_number is not None and stop.is_asked_again:
            return 128 + stop.signal_number
        if failed and time.monotonic() - failed_at > (_SAVING_SECONDS if _is_stopped(failed) else _FAILED_SECONDS):
            break
        time.sleep(_POLL_SECONDS)
    codes = [failed] if failed else [rank.returncode for rank in ranks if rank.returncode]
    if not codes:
        return 0
    return codes[0] if codes[0] > 0 else 128 - codes[0]


def _is_stopped(code: int) -> bool:
    """Say whether a process ended because it was asked to; the others then save."""
    return code in (128 + signal.SIGTERM, 128 + signal.SIGINT)


@contextlib.contextmanager
def _none_left(ranks: list[subprocess.Popen]) -> Iterator[None]:
    """Kill what still runs at the end."""
    try:
        yield
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
            rank.wait()
