"""Whose turn it is: how many trainings run at once in a workspace, and how many data stages in a flow.

A transfer stage has the whole machine. Fine-tunings are short and small, and one that uses two processors is far from
twice as fast as one that uses one, so on a CPU several run at once, each with its share of the processors
(`work.fine_tunings_at_once`). A turn is a file lock for each share: it holds across processes and flows, and the
operating system drops it when its holder dies. Fine-tunings wait while a transfer stage of their run is to come,
because more stages wait for that one.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bert_core.stages.line import LineRequest, open_line
from tasks.progress import listen

MAX_DATA_STAGES_AT_ONCE = 4
"""Data stages that one process works on at once; each has threads of its own."""
TURN_SECONDS = 0.5
"""How often a training that waits for its turn looks again, seconds."""

_data_turns = threading.BoundedSemaphore(MAX_DATA_STAGES_AT_ONCE)
_transfers_to_come: dict[tuple[LineRequest, str], None] = {}


@contextmanager
def data_turn() -> Iterator[None]:
    """Wait until fewer than `MAX_DATA_STAGES_AT_ONCE` data stages run in this process."""
    with _data_turns:
        yield


def expect_transfer(request: LineRequest, stage: str) -> Callable[[object], None]:
    """Let the fine-tunings of a run wait until a transfer stage is over; call what is returned when it is."""
    _transfers_to_come[request, stage] = None
    return lambda _future: _transfers_to_come.pop((request, stage), None)


@contextmanager
def training_turn(request: LineRequest, stage: str, *, force: bool = False) -> Iterator[None]:
    """Wait until a training may run, and hold its share of the machine; an interrupt ends the wait.

    A training whose output stands needs no turn.
    """
    line, began = open_line(request), time.monotonic()
    root, is_transfer = line.workspace.root, line.stage(stage).kind == "transfer"
    if not force and line.output(line.stage(stage)) is not None:
        yield
        return
    root.mkdir(parents=True, exist_ok=True)
    shares = [root / f".training-lock-{number}" for number in range(line.fine_tunings_at_once)]

    def must_wait() -> bool:
        return not is_transfer and any(ahead == request for ahead, _ in list(_transfers_to_come))

    with ExitStack() as held:
        with listen(stage) as progress:
            left, num_left_at_end = shares, 0 if is_transfer else len(shares) - 1
            while len(left) > num_left_at_end:
                if not must_wait():
                    left = _take(left, len(left) - num_left_at_end, held)
                if len(left) > num_left_at_end:
                    progress(int(time.monotonic() - began), 0, "seconds waiting for another training")
                    time.sleep(TURN_SECONDS)
        yield


def _take(free: list[Path], num_wanted: int, held: ExitStack) -> list[Path]:
    """Lock up to so many of the shares until `held` is closed; return those that were not taken.

    Who wants several takes them in order alone, so that no two wait for each other.
    """
    left, in_order = list(free), num_wanted > 1
    for path in free:
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if in_order:
                break
            continue
        held.callback(lock.release)
        left.remove(path)
        num_wanted -= 1
        if num_wanted == 0:
            break
    return left
