import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.corpus.tags import bio_tags
from bert_core.training.metrics import classification_scores, entity_scores

LABELS = ["PER", "LOC"]
TAGS = bio_tags(LABELS)


def test_classification_scores_of_a_worked_case():
    scores = classification_scores(np.array([0, 0, 1]), np.array([0, 1, 1]), ["bad", "good"])
    assert scores == {
        "num_examples": 3,
        "accuracy": pytest.approx(2 / 3),
        "macro_f1": pytest.approx(2 / 3),
        "mcc": pytest.approx(0.5),
        "by_label": {
            "bad": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2},
            "good": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
        },
        "confusion_matrix": [[1, 1], [0, 1]],
    }


def test_scores_of_no_examples_are_zero():
    empty = np.zeros(0, np.int64)
    scores = classification_scores(empty, empty, ["bad", "good"])
    assert (scores["accuracy"], scores["macro_f1"], scores["mcc"]) == (0.0, 0.0, 0.0)
    assert entity_scores(empty, empty, np.zeros(1, np.int64), LABELS)["f1"] == 0.0


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 5).flatmap(
        lambda k: st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=40)
    )
)
def test_classification_scores_equal_scikit_learn(pairs):
    from sklearn import metrics as oracle

    gold, predicted = np.array(pairs).T
    labels = [f"class {i}" for i in range(5)]
    scores = classification_scores(gold, predicted, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert scores["accuracy"] == pytest.approx(oracle.accuracy_score(gold, predicted))
        macro = oracle.f1_score(gold, predicted, average="macro", zero_division=0)  # pyright: ignore
        assert scores["macro_f1"] == pytest.approx(macro)
        assert scores["mcc"] == pytest.approx(oracle.matthews_corrcoef(gold, predicted))
    expected = oracle.confusion_matrix(gold, predicted, labels=list(range(5)))
    assert scores["confusion_matrix"] == expected.tolist()


def test_entity_scores_of_a_worked_case():
    scores = entity_scores(np.array([1, 2, 0, 3]), np.array([1, 2, 0, 1]), np.array([0, 2, 4]), LABELS)
    half = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert scores == {
        "num_examples": 2,
        **half,
        "macro_f1": pytest.approx(1 / 3),
        "by_type": {
            "PER": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
            "LOC": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        },
        "token_accuracy": 0.75,
    }


_SEQUENCES = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(_SEQUENCES)
def test_entity_scores_equal_seqeval(sequences):
    from seqeval.metrics import classification_report

    gold = np.array([g for sequence in sequences for g, _ in sequence])
    predicted = np.array([p for sequence in sequences for _, p in sequence])
    offsets = np.cumsum([0, *map(len, sequences)])
    scores = entity_scores(gold, predicted, offsets, LABELS)
    gold_tags = [[TAGS[g] for g, _ in sequence] for sequence in sequences]
    predicted_tags = [[TAGS[p] for _, p in sequence] for sequence in sequences]
    if not any(tag != "O" for sequence in gold_tags + predicted_tags for tag in sequence):
        assert scores["f1"] == 0.0  # seqeval cannot report on no entity at all
        return
    report: Any = classification_report(gold_tags, predicted_tags, output_dict=True, zero_division=0)  # pyright: ignore
    for name, expected in [("micro avg", scores), *((t, scores["by_type"][t]) for t in ("PER", "LOC"))]:
        if name not in report:
            assert expected["support"] == 0
            continue
        for ours, theirs in [("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")]:
            assert expected[ours] == pytest.approx(report[name][theirs]), (name, ours)
        assert expected["support"] == report[name]["support"]
    assert scores["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
