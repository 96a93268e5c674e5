"""Segmentation in another process."""

import numpy as np
import pytest

from bert_core.errors import WorkError
from bert_core.tokens.segmenting import SegmentingProcesses
from bert_core.tokens.words import borders_of

ROWS = ["我爱北京大学", "", "卡拉OK，走吧！\n𠀀", "a"]


def test_processes_answer_as_the_function_does():
    with SegmentingProcesses(1) as processes:
        for rows in (ROWS, [], [""], ROWS * 50):
            assert np.array_equal(processes.borders_of(rows), borders_of(rows))


def test_a_process_that_has_ended_is_told():
    with SegmentingProcesses(1) as processes:
        processes._processes[0].kill()
        processes._processes[0].wait()
        with pytest.raises(WorkError, match=r"segmenting process .* ended with exit status -9"):
            processes.borders_of(ROWS)
