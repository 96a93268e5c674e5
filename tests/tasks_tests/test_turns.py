"""Trainings take turns by lane: the chain has its own, and what is ready beside it fills the other."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_core.errors import RequestError
from bert_core.stages.build import run_stage
from bert_core.stages.line import LineRequest, open_line
from tasks.progress import InterruptedRunError, start_listening, stop_listening
from tasks.turns import TRAININGS_VARIABLE, lanes_open_to, num_training_lanes, training_turn

CHAIN, REFERENCE = "pretrain", "fine_tune/mood/from_random"


@pytest.fixture
def request_(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LineRequest]:
    monkeypatch.chdir(tiny_recipe.parent)
    monkeypatch.setenv(TRAININGS_VARIABLE, "2")
    start_listening()
    yield LineRequest(recipe=str(tiny_recipe), run_id=str(tiny_recipe))
    start_listening()


def takes_a_turn(request: LineRequest, stage: str, within_seconds: float) -> bool:
    """Say whether a training gets its turn in time; where it does not, its wait is interrupted."""
    got = threading.Event()

    def wait() -> None:
        try:
            with training_turn(request, stage):
                got.set()
        except InterruptedRunError:
            pass

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(within_seconds)
    stop_listening()
    thread.join(10)
    start_listening()
    return got.is_set()


def test_a_fine_tuning_runs_beside_a_transfer_stage_and_a_second_one_waits(request_):
    with training_turn(request_, CHAIN), training_turn(request_, REFERENCE):
        assert not takes_a_turn(request_, REFERENCE, 1.2)
    assert takes_a_turn(request_, REFERENCE, 10)


def test_a_transfer_stage_does_not_wait_for_two_fine_tunings(request_):
    line = open_line(request_)
    assert list(lanes_open_to(line, REFERENCE, 2)) == [1]
    assert list(lanes_open_to(line, CHAIN, 2)) == [0, 1]
    with training_turn(request_, REFERENCE):
        assert not takes_a_turn(request_, REFERENCE, 1.2)
        assert takes_a_turn(request_, CHAIN, 10)


@pytest.mark.slow
def test_fine_tunings_use_every_lane_once_the_transfer_stages_stand(request_):
    line = open_line(request_)
    for stage in line.stages.values():
        if stage.kind not in ("fine_tune", "tfidf", "majority"):
            run_stage(line, stage.id)
    assert list(lanes_open_to(line, REFERENCE, 2)) == [0, 1]


def test_with_one_lane_all_trainings_share_it(request_, monkeypatch):
    monkeypatch.setenv(TRAININGS_VARIABLE, "1")
    assert list(lanes_open_to(open_line(request_), REFERENCE, num_training_lanes())) == [0]
    with training_turn(request_, REFERENCE):
        assert not takes_a_turn(request_, CHAIN, 1.2)


def test_a_holder_that_was_killed_leaves_its_lane_free(request_):
    root = open_line(request_).workspace.root
    root.mkdir(parents=True, exist_ok=True)
    lock = str(root / ".training-lock-1")
    script = (
        f"import time, filelock as f; a = f.FileLock({lock!r}); a.acquire(); print('held', flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not takes_a_turn(request_, REFERENCE, 1.2)
        holder.kill()
    assert takes_a_turn(request_, REFERENCE, 10)


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5"])
def test_a_number_of_lanes_that_is_none_is_refused(monkeypatch, asked):
    monkeypatch.setenv(TRAININGS_VARIABLE, asked)
    with pytest.raises(RequestError, match=rf"{TRAININGS_VARIABLE} is '{asked}', expected a whole number of 1 or more"):
        num_training_lanes()
