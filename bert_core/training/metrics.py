"""Scores of a fine-tuned model: classes of texts, and entities in texts.

Everything is counted with numpy from integer arrays; no list of strings is walked. The numbers equal
scikit-learn's (accuracy, macro F1, Matthews correlation, confusion matrix) and seqeval's default mode
(entity precision, recall and F1), which the tests hold. A ratio without a denominator is 0, as with
`zero_division=0` there.

Not here: which tokens are scored and how windows of a long text are merged (`labelled_batches.py`), and
averages over seeds.

Sources: scikit-learn `metrics`; Gorodkin 2004 for the multi-class Matthews correlation; Tjong Kim Sang and De
Meulder 2003 (conlleval) for entities.
"""

from typing import Any

import numpy as np

from bert_core.corpus.tags import decode_bio


def classification_scores(gold: np.ndarray, predicted: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """Score predicted classes.

    Example: gold `[0, 0, 1]`, predicted `[0, 1, 1]`, labels `["bad", "good"]` -> accuracy 0.6667, macro F1
    0.6667, confusion matrix `[[1, 1], [0, 1]]`.

    Args:
        gold: true classes, indices into `labels`, int shape (num_examples,).
        predicted: as `gold`.
        labels: names of the classes.

    Returns:
        `num_examples`, `accuracy`, `macro_f1` (mean over the classes that occur in gold or predicted), `mcc`,
        `by_label` (precision, recall, f1, support) and `confusion_matrix` (a row for each gold class).
    """
    num_labels = len(labels)
    confusion = np.bincount(
        np.asarray(gold, np.int64) * num_labels + np.asarray(predicted, np.int64),
        minlength=num_labels * num_labels,
    ).reshape(num_labels, num_labels)
    correct, num_gold, num_predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    by_label = {
        label: _precision_recall_f1(int(correct[i]), int(num_predicted[i]), int(num_gold[i]))
        for i, label in enumerate(labels)
    }
    seen = [label for i, label in enumerate(labels) if num_gold[i] + num_predicted[i] > 0]
    num_examples = int(confusion.sum())
    return {
        "num_examples": num_examples,
        "accuracy": _ratio(int(correct.sum()), num_examples),
        "macro_f1": float(np.mean([by_label[label]["f1"] for label in seen])) if seen else 0.0,
        "mcc": _matthews_correlation(confusion),
        "by_label": by_label,
        "confusion_matrix": confusion.tolist(),
    }


def entity_scores(
    gold: np.ndarray, predicted: np.ndarray, row_offsets: np.ndarray, labels: list[str]
) -> dict[str, Any]:
    """Score predicted tags by whole entities: right where first token, last token and type all agree.

    Example: labels `["nr"]`, one row, gold `[1, 2, 0, 1]`, predicted `[1, 0, 0, 1]` -> two true, two
    predicted, one of them right: precision 0.5, recall 0.5, F1 0.5.

    Args:
        gold: true tag ids as laid out by `bert_core.corpus.tags`, of all rows, int shape (num_tokens,).
        predicted: as `gold`.
        row_offsets: row i is tokens `row_offsets[i]` to `row_offsets[i + 1]`, int shape (num_rows + 1,).
        labels: entity types in the order of their tag ids.

    Returns:
        `num_examples` (rows), `precision`, `recall`, `f1`, `support` over all types (micro), `by_type` the
        same for each, `macro_f1` (mean over the types that occur in gold or predicted), and
        `token_accuracy`.
    """
    gold_codes, gold_types = _entity_codes(gold, row_offsets)
    predicted_codes, predicted_types = _entity_codes(predicted, row_offsets)
    right = np.isin(predicted_codes, gold_codes)
    num_correct, num_predicted, num_gold = (
        np.bincount(types, minlength=len(labels)) for types in (predicted_types[right], predicted_types, gold_types)
    )
    by_type = {
        label: _precision_recall_f1(int(num_correct[i]), int(num_predicted[i]), int(num_gold[i]))
        for i, label in enumerate(labels)
    }
    seen = [label for i, label in enumerate(labels) if num_gold[i] + num_predicted[i] > 0]
    return {
        "num_examples": len(row_offsets) - 1,
        **_precision_recall_f1(int(num_correct.sum()), int(num_predicted.sum()), int(num_gold.sum())),
        "macro_f1": float(np.mean([by_type[label]["f1"] for label in seen])) if seen else 0.0,
        "by_type": by_type,
        "token_accuracy": _ratio(int(np.count_nonzero(gold == predicted)), len(gold)),
    }


def _entity_codes(tag_ids: np.ndarray, row_offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each entity one integer, equal for equal first token, last token and type; and its type."""
    rows, starts, ends, types = decode_bio(tag_ids, row_offsets)
    num_tokens, base = len(tag_ids) + 1, np.asarray(row_offsets, np.int64)[rows]
    return (types * num_tokens + base + starts) * num_tokens + base + ends, types


def _precision_recall_f1(num_correct: int, num_predicted: int, num_gold: int) -> dict[str, float | int]:
    return {
        "precision": _ratio(num_correct, num_predicted),
        "recall": _ratio(num_correct, num_gold),
        "f1": _ratio(2 * num_correct, num_predicted + num_gold),
        "support": num_gold,
    }


def _matthews_correlation(confusion: np.ndarray) -> float:
    """Correlation of gold and predicted classes, -1 to 1; 0 where either side is one class only."""
    counts = [[int(cell) for cell in row] for row in confusion]  # Python integers do not overflow
    num_gold = [sum(row) for row in counts]
    num_predicted = [sum(column) for column in zip(*counts, strict=True)]
    total, correct = sum(num_gold), sum(row[i] for i, row in enumerate(counts))
    product = (total**2 - sum(p * p for p in num_predicted)) * (total**2 - sum(g * g for g in num_gold))
    covariance = correct * total - sum(p * g for p, g in zip(num_predicted, num_gold, strict=True))
    return covariance / product**0.5 if product > 0 else 0.0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
