"""A transfer stage has the whole machine; fine-tunings share it, and wait while a transfer stage is to come."""

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
from tasks.turns import expect_transfer, training_turn

CHAIN, REFERENCE = "pretrain", "fine_tune/mood/from_random"


@pytest.fixture
def request_(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LineRequest]:
    monkeypatch.chdir(tiny_recipe.parent)
    start_listening()
    overrides = ("work.fine_tunings_at_once=2",)
    yield LineRequest(recipe=str(tiny_recipe), overrides=overrides, run_id=str(tiny_recipe))
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


def test_two_fine_tunings_run_at_once_and_a_third_waits(request_):
    with training_turn(request_, REFERENCE), training_turn(request_, REFERENCE):
        assert not takes_a_turn(request_, REFERENCE, 1.2)
    assert takes_a_turn(request_, REFERENCE, 10)


def test_a_transfer_stage_and_a_fine_tuning_exclude_each_other(request_):
    with training_turn(request_, REFERENCE):
        assert not takes_a_turn(request_, CHAIN, 1.2)
    with training_turn(request_, CHAIN):
        assert not takes_a_turn(request_, REFERENCE, 1.2)
    assert takes_a_turn(request_, CHAIN, 10)


def test_a_transfer_stage_that_waits_keeps_what_it_has(request_):
    """It holds the first share while it waits for the second, so that newcomers cannot keep it waiting for ever."""
    with training_turn(request_, REFERENCE):  # the first share
        second = threading.Event()

        def transfer() -> None:
            with training_turn(request_, CHAIN):
                second.set()

        with training_turn(request_, REFERENCE):  # the second one
            thread = threading.Thread(target=transfer)
            thread.start()
            assert not second.wait(1.2)
    assert second.wait(10)
    thread.join(10)
    assert takes_a_turn(request_, REFERENCE, 10)


def test_fine_tunings_wait_for_a_transfer_stage_of_their_run_that_is_to_come(request_):
    over = expect_transfer(request_, CHAIN)
    assert not takes_a_turn(request_, REFERENCE, 1.2)
    assert takes_a_turn(request_, CHAIN, 10)
    over(None)
    assert takes_a_turn(request_, REFERENCE, 10)


def test_an_output_that_stands_needs_no_turn(request_):
    line, tfidf = open_line(request_), "fine_tune/mood/tfidf"
    for stage in line.stages.values():
        if stage.kind not in ("transfer", "fine_tune"):
            run_stage(line, stage.id)
    with training_turn(request_, CHAIN), training_turn(request_, tfidf):
        assert not takes_a_turn(request_, REFERENCE, 1.2)


def test_a_holder_that_was_killed_leaves_its_share_free(request_):
    root = open_line(request_).workspace.root
    root.mkdir(parents=True, exist_ok=True)
    lock = str(root / ".training-lock-0")
    script = (
        f"import time, filelock as f; a = f.FileLock({lock!r}); a.acquire(); print('held', flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not takes_a_turn(request_, CHAIN, 1.2)
        holder.kill()
    assert takes_a_turn(request_, CHAIN, 10)


def test_a_number_of_fine_tunings_that_is_none_is_refused(request_):
    with pytest.raises(RequestError, match="fine_tunings_at_once"):
        open_line(LineRequest(recipe=request_.recipe, overrides=("work.fine_tunings_at_once=0",)))
