"""Listening to progress: from the callback of a core function to the boards that show it.

A task calls `with listen(stage) as progress:` and hands `progress` to the core. Who shows it is the caller's choice:
the command line puts up a board with `show_on(board)`; without one, lines go to the log of the task run. A progress
artifact comes beside it. `stop_listening()` makes every running listener raise, which is how an interrupted command
line ends work in other threads.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

from bert_core.errors import WorkError
from bert_core.progress import Progress
from tasks.boards import ArtifactBoard, Board, LineBoard, Notice
from tasks.visible import visible


class InterruptedRunError(WorkError):
    """The user stopped the run; what was sealed or checkpointed is kept."""


_stopped = threading.Event()
_board: Board | None = None


def stop_listening() -> bool:
    """Make every running and later listener raise `InterruptedRunError`, so that work in other threads ends.

    Returns:
        Whether listeners were listening until now.
    """
    was_listening = not _stopped.is_set()
    _stopped.set()
    return was_listening


def start_listening() -> None:
    """Let listeners listen again, at the start of a run."""
    _stopped.clear()


@contextmanager
def show_on(board: Board) -> Iterator[None]:
    """Show the progress of this process on a board until the block ends."""
    global _board
    before, _board = _board, board
    try:
        yield
    finally:
        _board = before


def say(text: str) -> None:
    """Show a line that stays, where a board is up; a task run without one has its state to say it."""
    if _board is not None:
        _board.say(visible(text))


@contextmanager
def listen(stage: str, artifact_key: str | None = None) -> Iterator[Progress]:
    """Make a listener for one stage and clear its boards when the block ends.

    Args:
        stage: stage id.
        artifact_key: key of a progress artifact; None for none.

    Yields:
        A `Progress` that may be called from any thread of the stage's work.
    """
    boards: list[Board] = [_board if _board is not None else LineBoard(_log_line())]
    if artifact_key is not None:
        boards.append(ArtifactBoard(artifact_key))
    context, lock = copy_context(), threading.Lock()
    first: dict[str, tuple[float, int]] = {}

    def progress(done: int, total: int, unit: str, **measures: float) -> None:
        if _stopped.is_set():
            raise InterruptedRunError(f"{stage}: interrupted by the user; run again to go on")
        now = time.monotonic()
        began, done_before = first.setdefault(unit, (now, done))
        passed = now - began
        pace = (done - done_before) / passed if passed > 0.5 and done > done_before else 0.0
        notice = Notice(stage, done, total, unit, pace, measures)
        with lock:  # the run's context may be entered by one thread at a time
            for board in boards:
                context.run(board.show, notice)

    try:
        yield progress
    finally:
        for board in boards:
            board.clear(stage)


def _log_line() -> Callable[[str], None]:
    """Return a writer of lines into the log of this task run."""
    import logging

    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger().info
    except MissingContextError:
        return logging.getLogger("bertline").info
