import json
from typing import Any

import numpy as np
import pytest

from bert_core.config import TaskConfig, TaskSource
from bert_core.errors import TaskDataError
from bert_core.training.baseline import CANDIDATES_OF_C, run_majority, run_tfidf
from bert_core.training.labelled_batches import read_labelled
from bert_core.training.scoring import score_classes


def _task(family: Any = "single_sentence", labels: tuple[str, ...] = ("bad", "good")) -> TaskConfig:
    return TaskConfig(family=family, sources=[TaskSource(path="x.jsonl")], labels=list(labels), compare=[])


def test_the_reference_equals_scikit_learn_on_the_same_texts(sentiment_folder, tmp_path):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.pipeline import make_pipeline

    counts = run_tfidf(sentiment_folder, _task(), 5, tmp_path)
    assert counts["c"] in CANDIDATES_OF_C
    assert counts["num_train_examples"] == 96
    oracle = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True),
        LogisticRegression(C=counts["c"], max_iter=2000),
    )
    train, test = (read_labelled(sentiment_folder, split) for split in ("train", "test"))
    predicted = oracle.fit(train.texts.to_pylist(), train.labels).predict(test.texts.to_pylist())
    assert counts["test"]["accuracy"] == accuracy_score(test.labels, predicted)
    assert counts["test"]["macro_f1"] == pytest.approx(f1_score(test.labels, predicted, average="macro"))
    assert counts["test"]["accuracy"] > 0.9


def test_its_files_are_those_of_fine_tuning(sentiment_folder, tmp_path):
    counts = run_tfidf(sentiment_folder, _task(), 5, tmp_path)
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["main_score"] == "macro_f1"
    assert (scores["dev"], scores["test"]) == (counts["dev"], counts["test"])
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines] == read_labelled(sentiment_folder, "test").texts.to_pylist()
    assert set(lines[0]) == {"record_id", "text", "gold", "predicted", "probability", "gold_probability"}


def test_equal_input_gives_equal_bytes(sentiment_folder, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        run_tfidf(sentiment_folder, _task(), 5, tmp_path / name)
    for name in ("scores.json", "predictions.jsonl"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_c_is_chosen_on_dev(sentiment_folder, tmp_path):
    seen: list[int] = []
    counts = run_tfidf(sentiment_folder, _task(), 5, tmp_path, lambda done, total, unit, **m: seen.append(done))
    assert seen == list(range(1, len(CANDIDATES_OF_C) + 2))
    dev = read_labelled(sentiment_folder, "dev")
    always_right = score_classes(dev, np.eye(2)[dev.labels], ["bad", "good"])
    assert counts["dev"]["macro_f1"] <= always_right["macro_f1"] == 1.0


def test_a_class_without_training_texts_has_probability_zero(sentiment_folder, tmp_path):
    counts = run_tfidf(sentiment_folder, _task(labels=("bad", "good", "unseen")), 5, tmp_path)
    assert len(counts["test"]["confusion_matrix"]) == 3
    assert counts["test"]["by_label"]["unseen"]["support"] == 0


def test_one_class_alone_is_refused(tmp_path, write_split):
    for split in ("train", "dev", "test"):
        write_split(tmp_path, split, [("好", 0, 1, 0, 1), ("棒", 0, 1, 0, 1)], labels=[1, 1])
    with pytest.raises(TaskDataError, match="1 classes, expected at least 2"):
        run_tfidf(tmp_path, _task(), 5, tmp_path)


def test_tags_are_refused(entity_folder, tmp_path):
    with pytest.raises(TaskDataError, match="has no TF-IDF reference"):
        run_tfidf(entity_folder, _task("sequence_labelling", ("nr", "ns")), 5, tmp_path)


def test_the_commonest_class_is_scored_as_scikit_learn_scores_it(sentiment_folder, tmp_path, write_split):
    from sklearn.dummy import DummyClassifier
    from sklearn.metrics import accuracy_score, f1_score

    (path,) = sentiment_folder.glob("train-*")
    path.unlink()
    write_split(sentiment_folder, "train", [("好", 0, 1, 0, 1)] * 3, labels=[1, 0, 1])
    counts = run_majority(sentiment_folder, _task(), tmp_path)
    gold = np.arange(24) % 2
    oracle = DummyClassifier(strategy="most_frequent").fit(np.zeros((3, 1)), [1, 0, 1]).predict(np.zeros((24, 1)))
    assert counts["class"] == "good"
    assert counts["test"]["accuracy"] == accuracy_score(gold, oracle)
    assert counts["test"]["macro_f1"] == pytest.approx(f1_score(gold, oracle, average="macro", zero_division=0))
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(line["predicted"], line["probability"]) for line in lines} == {("good", 0.666667)}
