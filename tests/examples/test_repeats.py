"""Repeated digests are counted as a set would count them, however few are sorted at once."""

import numpy as np
import pytest

from bert_core.examples import repeats
from bert_core.examples.repeats import DigestStream


@pytest.mark.parametrize("at_once", [1 << 20, 64, 7])
@pytest.mark.parametrize("num_digests", [0, 1, 500])
def test_repeats_are_those_of_a_set(monkeypatch, at_once, num_digests):
    monkeypatch.setattr(repeats, "MAX_AT_ONCE", at_once)
    values = np.random.default_rng(1).integers(0, 1 << 64, 200, np.uint64)[
        np.random.default_rng(2).integers(0, 200, num_digests)
    ]
    with DigestStream.open() as stream:
        for part in np.array_split(values, 3):
            stream.add(part)
        assert stream.num_repeated() == num_digests - len(set(values.tolist()))
        stream.add(values[:1])
        assert stream.num_repeated() == num_digests + len(values[:1]) - len(set(values.tolist()))


def test_all_equal_digests_repeat_all_but_once():
    with DigestStream.open() as stream:
        stream.add(np.full(10, 1 << 63, np.uint64))
        assert stream.num_repeated() == 9
