"""The paired t-test against scipy's, and where there is no spread to judge by."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from bert_core.report.paired_test import paired_t_test

SCORES = st.floats(0.0, 1.0).map(lambda score: round(score, 6))


def test_a_worked_case():
    found = paired_t_test([0.7, 0.8, 0.9], [0.6, 0.6, 0.8])  # differences 0.1, 0.2, 0.1: mean 2/15, error 1/30
    assert found.num_pairs == 3
    assert found.difference == pytest.approx(2 / 15)
    assert found.t == pytest.approx(4.0)
    assert found.p_value == pytest.approx(1 - 4 / math.sqrt(18))  # t with two degrees of freedom, in closed form


@settings(deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=12))
def test_it_is_scipys_paired_test(pairs):
    scores, reference = zip(*pairs, strict=True)
    found = paired_t_test(scores, reference)
    if found.t is not None:
        expected = ttest_rel(scores, reference)
        assert found.t == pytest.approx(expected.statistic, rel=1e-6)
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_the_order_of_seeds_matters_because_seeds_are_paired():
    assert paired_t_test([0.5, 0.6, 0.7], [0.4, 0.5, 0.61]).p_value < 0.01
    assert paired_t_test([0.5, 0.6, 0.7], [0.61, 0.5, 0.4]).p_value > 0.3


@pytest.mark.parametrize(("shift", "p_value"), [(0.0, 1.0), (0.1, 0.0)])
def test_equal_differences_leave_nothing_to_judge_by(shift, p_value):
    found = paired_t_test([0.2 + shift, 0.3 + shift, 0.4 + shift], [0.2, 0.3, 0.4])
    assert found.t is None
    assert found.p_value == p_value
    assert found.difference == pytest.approx(shift)
