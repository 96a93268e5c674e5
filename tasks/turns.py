"""Whose turn it is: how many trainings run at once in a workspace, and how many data stages in a flow.

A training of a small model leaves a part of two cores idle, so on a CPU two run at once: one lane for the transfer
stages, whose chain everything waits for, and one for fine-tunings that are ready by then, such as those from random
weights. Once the transfer stages stand, fine-tunings use both. On a GPU there is one lane. A lane is a file lock: it
holds across processes and flows, and the operating system drops it when its holder dies.

The environment variable `BERTLINE_TRAININGS_AT_ONCE` replaces the number of lanes, 1 or more.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bert_core.errors import RequestError
from bert_core.stages.line import Line, LineRequest, open_line
from tasks.progress import listen

TRAININGS_VARIABLE = "BERTLINE_TRAININGS_AT_ONCE"
MAX_DATA_STAGES_AT_ONCE = 4
"""Data stages that one process works on at once; each has threads of its own."""
TURN_SECONDS = 0.5
"""How often a training that waits for its turn looks again, seconds."""

_data_turns = threading.BoundedSemaphore(MAX_DATA_STAGES_AT_ONCE)


@contextmanager
def data_turn() -> Iterator[None]:
    """Wait until fewer than `MAX_DATA_STAGES_AT_ONCE` data stages run in this process."""
    with _data_turns:
        yield


@contextmanager
def training_turn(request: LineRequest, stage: str) -> Iterator[None]:
    """Wait until a lane for trainings is free and hold it; an interrupt ends the wait.

    Raises:
        RequestError: the environment asks for a number of lanes that is none.
    """
    line, began = open_line(request), time.monotonic()
    root, num_lanes = line.workspace.root, num_training_lanes()
    root.mkdir(parents=True, exist_ok=True)
    with listen(stage) as progress:
        while (held := _free_lane(root, lanes_open_to(line, stage, num_lanes))) is None:
            progress(int(time.monotonic() - began), 0, "seconds waiting for another training")
            time.sleep(TURN_SECONDS)
    try:
        yield
    finally:
        held.release()


def num_training_lanes() -> int:
    """Return how many trainings may run at once on this machine.

    Raises:
        RequestError: `BERTLINE_TRAININGS_AT_ONCE` is not a whole number of 1 or more.
    """
    asked = os.environ.get(TRAININGS_VARIABLE, "").strip()
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise RequestError(f"{TRAININGS_VARIABLE} is {asked!r}, expected a whole number of 1 or more")
        return int(asked)
    has_gpu = Path("/dev/nvidiactl").exists()  # the driver's own file: torch is not loaded in this process
    return 1 if has_gpu else min(2, os.cpu_count() or 1)


def lanes_open_to(line: Line, stage_id: str, num_lanes: int) -> range:
    """Return the lanes that a training may take: the first is kept for transfer stages while one is missing.

    Example: with two lanes and `domain_transfer` not built, a fine-tuning may take lane 1 alone.
    """
    transfers = [stage for stage in line.stages.values() if stage.kind == "transfer"]
    if num_lanes == 1 or line.stage(stage_id).kind == "transfer" or all(line.output(one) for one in transfers):
        return range(num_lanes)
    return range(1, num_lanes)


def _free_lane(root: Path, lanes: range) -> FileLock | None:
    """Take the first lane that nobody holds."""
    for number in lanes:
        lock = FileLock(root / f".training-lock-{number}", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        return lock
    return None
