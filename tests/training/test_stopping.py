"""The stop flag."""

import os
import signal
import subprocess
import sys

import pytest

from bert_core.training.stopping import StopFlag, TrainingStopped, listening_for_stop


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_sets_the_flag_and_the_old_handlers_come_back(number: signal.Signals, exit_code: int):
    before = signal.getsignal(number)
    with listening_for_stop() as flag:
        assert flag.signal_number is None
        os.kill(os.getpid(), number)
        assert flag.signal_number == number
    assert signal.getsignal(number) is before
    assert TrainingStopped("stopped", number).exit_code == exit_code


def test_the_first_signal_is_the_one_that_counts():
    flag = StopFlag()
    flag.ask(signal.SIGINT)
    flag.ask(signal.SIGTERM)
    assert flag.signal_number == signal.SIGINT


def test_a_second_signal_a_while_later_leaves_at_once():
    script = (
        "import os, signal, time\n"
        "from bert_core.training import stopping\n"
        "stopping._SAME_SIGNAL_SECONDS = 0.05\n"
        "with stopping.listening_for_stop():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.2)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(5)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 143


def test_another_parent_than_the_expected_one_asks_to_stop():
    with listening_for_stop(parent_pid=os.getppid() + 1) as flag:
        for _ in range(30):
            if flag.signal_number is not None:
                break
            signal.sigtimedwait([], 0.1)
    assert flag.signal_number == signal.SIGTERM
