"""The references that need no pretraining: character TF-IDF with logistic regression, and the commonest class.

It reads exactly the labelled examples that fine-tuning reads (their text column), chooses the inverse
regularisation strength C on dev, scores test once, and writes the same `scores.json` and
`predictions.jsonl`. A chain that does not beat it is not worth its training.

Not here: entity labelling (a bag of characters cannot label tokens; the recipe refuses it).

Source: scikit-learn's `TfidfVectorizer` and `LogisticRegression`.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from bert_core.config import TaskConfig
from bert_core.errors import TaskDataError
from bert_core.progress import Progress, silent
from bert_core.randomness import seed_of
from bert_core.training.labelled_batches import LabelledExamples, read_labelled
from bert_core.training.scoring import (
    MAIN_SCORES,
    class_predictions,
    score_classes,
    write_predictions,
    write_scores,
)

CANDIDATES_OF_C = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Inverse regularisation strengths that are tried, weakest model first."""
_MAX_ITERATIONS = 2000


def run_tfidf(
    labelled_folder: Path, task: TaskConfig, seed: int, folder: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Fit TF-IDF of character 1- to 3-grams and logistic regression on a task's training examples.

    C is the one with the best macro F1 on dev, on a tie the smaller; without dev examples it is 1.

    Args:
        labelled_folder: `train`, `dev` and `test` shards of labelled examples.
        task: names the labels.
        seed: of the recipe.
        folder: where `scores.json` and `predictions.jsonl` go; must exist.
        progress: listener, in fits.

    Returns:
        Counts: `num_train_examples`, `num_features`, `c`, `dev` and `test` scores.

    Raises:
        TaskDataError: the task labels tokens, or its training examples are of one class only.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if task.family != "single_sentence":
        raise TaskDataError(f"family {task.family!r} has no TF-IDF reference; expected 'single_sentence'")
    train, dev, test = (read_labelled(labelled_folder, split) for split in ("train", "dev", "test"))
    if len(np.unique(train.labels)) < 2:
        raise TaskDataError(
            f"{labelled_folder}: {train.num_examples} training examples of "
            f"{len(np.unique(train.labels))} classes, expected at least 2; give the task more labelled records"
        )
    began = time.monotonic()
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    features = vectorizer.fit_transform(train.texts.to_pylist())

    def fit(c: float) -> Any:
        model = LogisticRegression(C=c, max_iter=_MAX_ITERATIONS, random_state=seed_of(seed, "tfidf") % (1 << 32))
        return model.fit(features, train.labels)

    def probabilities(model: Any, examples: LabelledExamples) -> np.ndarray:
        table = np.zeros((examples.num_examples, len(task.labels)), np.float64)
        if examples.num_examples:
            table[:, model.classes_] = model.predict_proba(vectorizer.transform(examples.texts.to_pylist()))
        return table

    best_c, best_score = 1.0, -1.0
    if dev.num_examples:
        for number, c in enumerate(CANDIDATES_OF_C):
            scores = score_classes(dev, probabilities(fit(c), dev), task.labels)
            if scores[MAIN_SCORES[task.family]] > best_score:
                best_c, best_score = c, scores[MAIN_SCORES[task.family]]
            progress(number + 1, len(CANDIDATES_OF_C) + 1, "fits", dev_score=best_score)
    model = fit(best_c)
    progress(len(CANDIDATES_OF_C) + 1, len(CANDIDATES_OF_C) + 1, "fits")
    dev_scores = score_classes(dev, probabilities(model, dev), task.labels)
    test_probabilities = probabilities(model, test)
    test_scores = score_classes(test, test_probabilities, task.labels)
    write_scores(folder, task.family, task.labels, dev=dev_scores, test=test_scores, c=best_c)
    write_predictions(folder, class_predictions(test, test_probabilities, task.labels))
    return {
        "num_train_examples": train.num_examples,
        "num_features": len(vectorizer.vocabulary_),
        "c": best_c,
        "seconds": round(time.monotonic() - began, 3),
        "dev": dev_scores,
        "test": test_scores,
    }


def run_majority(labelled_folder: Path, task: TaskConfig, folder: Path) -> dict[str, Any]:
    """Give every text the commonest class of train, the first of several; the floor that any model must leave behind.

    The probability of a class is its share in train.

    Args:
        labelled_folder: `train`, `dev` and `test` shards of labelled examples.
        task: names the labels.
        folder: where `scores.json` and `predictions.jsonl` go; must exist.

    Returns:
        Counts: `num_train_examples`, `class`, `dev` and `test` scores.

    Raises:
        TaskDataError: there is no training example.
    """
    train, dev, test = (read_labelled(labelled_folder, split) for split in ("train", "dev", "test"))
    if train.num_examples == 0:
        raise TaskDataError(f"{labelled_folder}: no training examples; give the task labelled records")
    shares = np.bincount(train.labels, minlength=len(task.labels)) / train.num_examples
    of_dev, of_test = (np.tile(shares, (split.num_examples, 1)) for split in (dev, test))
    dev_scores, test_scores = score_classes(dev, of_dev, task.labels), score_classes(test, of_test, task.labels)
    write_scores(folder, task.family, task.labels, dev=dev_scores, test=test_scores)
    write_predictions(folder, class_predictions(test, of_test, task.labels))
    return {
        "num_train_examples": train.num_examples,
        "class": task.labels[int(shares.argmax())],
        "dev": dev_scores,
        "test": test_scores,
    }
