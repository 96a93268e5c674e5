"""The compiled draws give the numbers of `randomness.py`."""

import numpy as np
import pytest

from bert_core import randomness
from bert_core.examples import draw_kernels


def test_compiled_draws_equal_the_array_form():
    key = randomness.key_of(7, "masks", 3)
    assert [draw_kernels.draw(key, n) for n in range(50)] == randomness.draws(key, 50).tolist()


def test_compiled_mix_equals_the_array_form():
    values = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    assert [draw_kernels.mix(value) for value in values] == randomness.mix64(values).tolist()


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 21_128, 2**31 - 1])
def test_below_stays_below_and_reaches_both_ends(limit):
    values = randomness.draws(randomness.key_of(1), 2_000)
    found = [draw_kernels.below(value, limit) for value in values]
    assert min(found) >= 0
    assert max(found) < limit
    assert limit > 100 or set(found) == set(range(limit))


def test_below_is_even_over_ten_items():
    from scipy.stats import chisquare

    found = [draw_kernels.below(value, 10) for value in randomness.draws(randomness.key_of(2), 20_000)]
    assert chisquare(np.bincount(found, minlength=10)).pvalue > 0.001


def test_upper_and_lower_half_of_a_draw_are_two_numbers():
    values = randomness.draws(randomness.key_of(3), 5_000)
    upper = [draw_kernels.uniform(value) for value in values]
    lower = [draw_kernels.uniform(np.uint64(draw_kernels.lower_half(value))) for value in values]
    assert abs(np.corrcoef(upper, lower)[0, 1]) < 0.05


def test_streams_of_other_names_differ():
    key = randomness.key_of(4)
    assert len({int(draw_kernels.child(key, name)) for name in range(1_000)}) == 1_000
