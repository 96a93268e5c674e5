"""Scores of a fine-tuned model: classes of texts, and entities in texts.

Everything is counted with numpy from integer arrays; no list of strings is walked. The numbers equal scikit-learn's
(accuracy, macro F1, Matthews correlation, confusion matrix) and seqeval's default mode (entity precision, recall and
F1), which the tests hold. A ratio without a denominator is 0, as with `zero_division=0` there.

Not here: which tokens are scored and how windows of a long text are merged (`labelled_batches.py`), and averages over
seeds.

Sources: scikit-learn `metrics`; Gorodkin 2004 for the multi-class Matthews correlation; the entity rules of conlleval
(Tjong Kim Sang and De Meulder 2003) as in seqeval.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


def classification_scores(gold: np.ndarray, predicted: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """Score predicted classes.

    Example: gold `[0, 0, 1]`, predicted `[0, 1, 1]`, labels `["bad", "good"]` -> accuracy 0.6667, macro F1 0.6667,
    confusion matrix `[[1, 1], [0, 1]]`.

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Entities:
    """Entities found in a run of tags, in order of their first token."""

    first: np.ndarray
    """Index of each entity's first token, int64 shape (num_entities,)."""
    last: np.ndarray
    """Index of its last token, inclusive, int64 shape (num_entities,)."""
    types: np.ndarray
    """Its type as an index into `entity_types(tags)`, int64 shape (num_entities,)."""


def entity_types(tags: list[str]) -> list[str]:
    """Return the types in the order of their first tag: `["O", "B-PER", "I-PER"]` -> `["PER"]`."""
    return list(dict.fromkeys(tag[2:] for tag in tags if tag != "O"))


def find_entities(tag_indices: np.ndarray, sequence_starts: np.ndarray, tags: list[str]) -> Entities:
    """Find the entities in tagged tokens.

    An entity begins at B, at an I that follows O or another type, and at an I that begins a sequence; it ends before
    the next beginning, before O, and at the end of its sequence. So every row of tags has a reading, and it is the
    one of seqeval's default mode and of conlleval.

    Example: tags `["O", "B-PER", "I-PER"]`, tag_indices `[1, 2, 0, 2]` -> first `[0, 3]`, last `[1, 3]`.

    Args:
        tag_indices: indices into `tags` of the tokens of all sequences laid end to end, int shape (num_tokens,).
        sequence_starts: true at the first token of each sequence, bool shape (num_tokens,).
        tags: `O` and BIO tags by index.
    """
    types = entity_types(tags)
    type_of_tag = np.array([-1 if tag == "O" else types.index(tag[2:]) for tag in tags], np.int64)
    begins_of_tag = np.array([tag.startswith("B-") for tag in tags], bool)
    token_types = type_of_tag[tag_indices]
    goes_on = np.zeros(len(token_types), bool)
    goes_on[1:] = token_types[1:] == token_types[:-1]
    goes_on &= (token_types >= 0) & ~begins_of_tag[tag_indices] & ~np.asarray(sequence_starts, bool)
    first = np.flatnonzero((token_types >= 0) & ~goes_on)
    next_goes_on = np.zeros(len(token_types), bool)
    next_goes_on[:-1] = goes_on[1:]
    last = np.flatnonzero((token_types >= 0) & ~next_goes_on)
    return Entities(first=first, last=last, types=token_types[first])


def entity_scores(
    gold: np.ndarray, predicted: np.ndarray, sequence_starts: np.ndarray, tags: list[str]
) -> dict[str, Any]:
    """Score predicted tags by whole entities: right where first token, last token and type all agree.

    Example: tags `["O", "B-PER", "I-PER"]`, gold `[1, 2, 0, 1]`, predicted `[1, 0, 0, 1]` -> one of two entities
    found, one of two predicted right: precision 0.5, recall 0.5, F1 0.5.

    Args:
        gold: true tags, indices into `tags`, of all sequences laid end to end, int shape (num_tokens,).
        predicted: as `gold`.
        sequence_starts: true at the first token of each sequence, bool shape (num_tokens,).
        tags: `O` and BIO tags by index.

    Returns:
        `num_examples` (sequences), `precision`, `recall`, `f1`, `support` over all types (micro), `by_type` the same
        for each, `macro_f1` (mean over the types that occur in gold or predicted), and `token_accuracy`.
    """
    types = entity_types(tags)
    gold_entities = find_entities(gold, sequence_starts, tags)
    predicted_entities = find_entities(predicted, sequence_starts, tags)
    num_tokens = len(gold)
    right = np.isin(_codes(predicted_entities, num_tokens), _codes(gold_entities, num_tokens))
    num_types = len(types)
    num_correct = np.bincount(predicted_entities.types[right], minlength=num_types)
    num_predicted = np.bincount(predicted_entities.types, minlength=num_types)
    num_gold = np.bincount(gold_entities.types, minlength=num_types)
    by_type = {
        name: _precision_recall_f1(int(num_correct[i]), int(num_predicted[i]), int(num_gold[i]))
        for i, name in enumerate(types)
    }
    seen = [name for i, name in enumerate(types) if num_gold[i] + num_predicted[i] > 0]
    return {
        "num_examples": int(np.count_nonzero(sequence_starts)),
        **_precision_recall_f1(int(num_correct.sum()), int(num_predicted.sum()), int(num_gold.sum())),
        "macro_f1": float(np.mean([by_type[name]["f1"] for name in seen])) if seen else 0.0,
        "by_type": by_type,
        "token_accuracy": _ratio(int(np.count_nonzero(gold == predicted)), num_tokens),
    }


def _codes(entities: Entities, num_tokens: int) -> np.ndarray:
    """Give each entity one integer; two are equal where first token, last token and type are."""
    return (entities.types * num_tokens + entities.first) * num_tokens + entities.last


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
