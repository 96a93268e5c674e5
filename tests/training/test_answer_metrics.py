"""EM and F1 of answers, against cases worked by hand from the rules of CMRC 2018 and of SQuAD."""

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.training.answer_metrics import answer_scores, cmrc_units, longest_common_run, question_scores

CMRC_CASES = [
    # gold, predicted, exact match, F1 (2 * common run / (units of gold + units of predicted))
    (["江南水乡"], "江南水乡", 1, 1.0),
    (["《江南·水乡》"], "江南水乡。", 1, 1.0),  # punctuation is left out
    (["江南水乡"], "在江南水", 0, 2 * 3 / 8),  # 江南水 of 4 and 4
    (["江南水乡"], "水乡江南", 0, 2 * 2 / 8),  # a run, not a bag
    (["1998年"], "1998", 0, 2 * 1 / 3),  # the number is one unit
    (["2.5米"], "2.5 米", 0, 1.0),  # equal units; the space counts for exact match alone
    (["Microsoft Office"], "microsoft office", 1, 1.0),
    (["Microsoft Office"], "office", 0, 2 * 1 / 3),
    (["A-B型"], "ab型", 1, 1.0),  # a hyphen joins what it stood between
    (["江", "江南"], "江南", 1, 1.0),  # the best of several
    (["江南"], "", 0, 0.0),
    (["江南"], "北国", 0, 0.0),
    ([], "", 1, 1.0),
    ([], "江南", 0, 0.0),
]
SQUAD_CASES = [
    (["the Eiffel Tower"], "Eiffel Tower.", 1, 1.0),
    (["Eiffel Tower"], "the tower", 0, 2 * 1 / 3),
    (["a b b c"], "b b d", 0, 2 * 2 / (3 + 3)),  # "a" is an article
    (["in 1998", "1998"], "1998", 1, 1.0),
    (["The"], "a", 1, 1.0),  # nothing is left of both
    (["江南水乡"], "江南", 0, 0.0),  # one word each
    (["Paris"], "", 0, 0.0),
    ([], "", 1, 1.0),
    ([], "Paris", 0, 0.0),
]


@pytest.mark.parametrize(("gold", "predicted", "exact", "f1"), CMRC_CASES)
def test_cmrc_scores_of_cases_worked_by_hand(gold, predicted, exact, f1):
    assert question_scores([gold], [predicted], "cmrc").tolist() == [[exact, pytest.approx(f1)]]


@pytest.mark.parametrize(("gold", "predicted", "exact", "f1"), SQUAD_CASES)
def test_squad_scores_of_cases_worked_by_hand(gold, predicted, exact, f1):
    assert question_scores([gold], [predicted], "squad").tolist() == [[exact, pytest.approx(f1)]]


@pytest.mark.parametrize(
    ("answer", "units"),
    [
        ("《Dota 2》是2.5版！", ["dota", "2", "是", "2.5", "版"]),
        ("1,000人, 8%", ["1,000", "人", ",", "8", "%"]),
        ("3D电影", ["3d", "电", "影"]),
        ("it's a_b", ["it", "'s", "ab"]),
        ("—…", ["—", "…"]),
        ("，。", []),
    ],
)
def test_answers_are_cut_into_the_units_that_cmrc_compares(answer, units):
    assert cmrc_units(answer) == units


@given(st.text("甲乙丙", max_size=20), st.text("甲乙丙", max_size=20))
def test_the_longest_common_run_is_that_of_difflib(first, second):
    oracle = SequenceMatcher(None, first, second, autojunk=False).find_longest_match()
    assert longest_common_run(first, second) == oracle.size


def test_scores_are_means_over_questions_and_stand_by_kind():
    gold, predicted = [["江南水乡"], ["1998年"], [], []], ["江南水乡", "1998", "", "x"]
    scores = answer_scores(gold, predicted, "cmrc")
    assert scores == {
        "num_examples": 4,
        "exact_match": 0.5,
        "f1": pytest.approx((1 + 2 / 3 + 1 + 0) / 4),
        "scoring": "cmrc",
        "cmrc": {"exact_match": 0.5, "f1": pytest.approx((1 + 2 / 3 + 1 + 0) / 4)},
        "squad": {"exact_match": 0.5, "f1": 0.5},
        "answerable": {"num_examples": 2, "exact_match": 0.5, "f1": pytest.approx((1 + 2 / 3) / 2)},
        "unanswerable": {"num_examples": 2, "exact_match": 0.5, "f1": 0.5},
    }
    assert answer_scores(gold[:2], predicted[:2], "squad")["f1"] == 0.5
    assert "answerable" not in answer_scores(gold[:2], predicted[:2], "squad")
    assert answer_scores([], [], "cmrc")["f1"] == 0.0
