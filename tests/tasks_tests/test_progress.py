"""Listeners of progress show what they are told, seldom enough, and end interrupted work."""

import io

import pytest
from rich.console import Console

from tasks import progress
from tasks.boards import ArtifactBoard, BarBoard, LineBoard, Notice
from tasks.progress import InterruptedRunError, listen, show_on


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """A board that remembers."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.cleared: list[str] = []
        self.said: list[str] = []

    def show(self, notice: Notice) -> None:
        self.notices.append(notice)

    def clear(self, stage: str) -> None:
        self.cleared.append(stage)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (
            Notice("pretrain", 120, 1000, "steps", 8.0, {"loss": 3.2149}),
            "120 of 1,000 steps (12 %), 8 steps/s, 1 min 50 s left, loss 3.21",
        ),
        (Notice("slices/a", 5, 0, "rows", 0.0, {}), "5 rows"),
        (Notice("slices/a", 5, 0, "rows", 1234.6, {}), "5 rows, 1,235 rows/s"),
        (Notice("pretrain", 1000, 1000, "steps", 10.0, {}), "1,000 of 1,000 steps (100 %), 10 steps/s, 0.00 s left"),
        (
            Notice("pretrain", 1, 2, "steps", 0.0, {"mlm_accuracy": 0.25}),
            "1 of 2 steps (50 %), mlm accuracy 0.25",
        ),
        (Notice("pretrain", 11, 0, "seconds in line", 1.0, {}), "11 seconds in line"),
    ],
)
def test_a_notice_says_how_far_how_fast_and_how_long(notice: Notice, expected: str) -> None:
    assert notice.describe() == expected


def test_a_line_is_written_for_each_stage_once_in_ten_seconds() -> None:
    clock, lines = Clock(), []
    board = LineBoard(lines.append, every_seconds=10.0, clock=clock)
    for second in range(0, 31):
        clock.now = 100.0 + second
        board.show(Notice("a", second, 30, "steps", 0.0))
        board.show(Notice("b", second, 0, "rows", 0.0))
    assert lines == [
        "a: 10 of 30 steps (33 %)",
        "b: 10 rows",
        "a: 20 of 30 steps (67 %)",
        "b: 20 rows",
        "a: 30 of 30 steps (100 %)",
        "b: 30 rows",
    ]


def test_a_short_stage_writes_no_line() -> None:
    lines: list[str] = []
    board = LineBoard(lines.append)
    board.show(Notice("a", 1, 2, "steps", 0.0))
    board.show(Notice("a", 2, 2, "steps", 0.0))
    board.clear("a")
    assert lines == []


def test_a_progress_artifact_is_made_late_and_moved_once_in_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = Clock(), []
    monkeypatch.setattr(
        "prefect.artifacts.create_progress_artifact",
        lambda percent, key, description: calls.append(("create", clock.now, percent, key)) or "id",
    )
    monkeypatch.setattr(
        "prefect.artifacts.update_progress_artifact",
        lambda artifact_id, percent, description: calls.append(("update", clock.now, percent, artifact_id)),
    )
    board = ArtifactBoard("tiny-pretrain-progress", every_seconds=5.0, clock=clock)
    for second in range(0, 13):
        clock.now = float(second)
        board.show(Notice("pretrain", second, 20, "steps", 0.0))
    board.clear("pretrain")
    assert calls == [
        ("create", 5.0, 25.0, "tiny-pretrain-progress"),
        ("update", 10.0, 50.0, "id"),
        ("update", 12.0, 60.0, "id"),
    ]


def test_a_server_that_takes_no_artifact_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = Clock(), []

    def refuse(*_: object, **__: object) -> None:
        calls.append(clock.now)
        raise ConnectionRefusedError("no server")

    monkeypatch.setattr("prefect.artifacts.create_progress_artifact", refuse)
    board = ArtifactBoard("key", every_seconds=5.0, clock=clock)
    for second in range(0, 60):
        clock.now = float(second)
        board.show(Notice("pretrain", second, 60, "steps", 0.0))
    board.clear("pretrain")
    assert calls == [5.0]


def test_a_listener_hands_notices_to_the_board_and_clears_it() -> None:
    board = Recorder()
    with show_on(board), listen("pretrain") as tell:
        tell(1, 10, "steps", loss=5.0)
        tell(2, 10, "steps", loss=4.0)
    assert [(n.stage, n.done, n.total, n.unit, n.measures) for n in board.notices] == [
        ("pretrain", 1, 10, "steps", {"loss": 5.0}),
        ("pretrain", 2, 10, "steps", {"loss": 4.0}),
    ]
    assert board.cleared == ["pretrain"]


def test_a_line_is_said_where_a_board_is_up_and_control_characters_are_shown() -> None:
    board = Recorder()
    progress.say("nobody listens")
    with show_on(board):
        progress.say("a\x1b[2Jb")
    assert board.said == ["a\\u{1b}[2Jb"]


def test_the_board_is_cleared_when_the_work_fails() -> None:
    board = Recorder()
    with pytest.raises(ValueError, match="broken"), show_on(board), listen("pretrain"):
        raise ValueError("broken")
    assert board.cleared == ["pretrain"]


def test_an_interrupt_ends_the_work_of_every_listener() -> None:
    try:
        with show_on(Recorder()), listen("pretrain") as tell:
            tell(1, 10, "steps")
            progress.stop_listening()
            with pytest.raises(InterruptedRunError, match="pretrain: interrupted"):
                tell(2, 10, "steps")
    finally:
        progress.start_listening()


def test_bars_are_drawn_without_markup_and_taken_away() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with BarBoard(console) as bars:
        bars.show(Notice("fine_tune/[red]x", 5, 10, "steps", 2.0))
        bars._bars.refresh()
        bars.clear("fine_tune/[red]x")
        bars.clear("never shown")
    assert "fine_tune/[red]x" in screen.getvalue()
    assert "5 of 10 steps (50 %)" in screen.getvalue()
