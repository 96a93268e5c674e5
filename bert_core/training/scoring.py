"""From probabilities to scores and to predictions that can be read: the same files for every kind of model.

`scores.json` holds the scores of dev and test; `predictions.jsonl` has one line for each test record: its
text, what is true, what was predicted, and with which probability. The worst errors are the wrong lines with
the smallest `gold_probability`. Fine-tuning and the TF-IDF reference both write through here, so their files
compare line by line.

Not here: how a score is computed (`metrics.py`), and where probabilities come from.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_core.config.tasks import TagScheme
from bert_core.corpus.tag_schemes import to_bio
from bert_core.corpus.tags import decode_bio
from bert_core.training.labelled_batches import LabelledExamples, scored_tokens
from bert_core.training.metrics import classification_scores, entity_scores

MAIN_SCORES = {
    "single_sentence": "macro_f1",
    "sentence_pair": "macro_f1",
    "sequence_labelling": "f1",
    "extractive_qa": "f1",
}
"""The one number by which epochs and models of a family are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPredictions:
    """What a model says about every token of a split; tokens that are not scored hold anything."""

    tags: np.ndarray
    """Chosen tag of each token, int64 shape (num_tokens,)."""
    probabilities: np.ndarray
    """Its probability, float32 shape (num_tokens,)."""
    gold_probabilities: np.ndarray
    """Probability of the true tag, float32 shape (num_tokens,)."""


def score_classes(examples: LabelledExamples, probabilities: np.ndarray, labels: list[str]) -> dict[str, Any]:
    """Score class probabilities of a split, float shape (num_examples, num_labels)."""
    return classification_scores(examples.labels, probabilities.argmax(axis=1), labels)


def score_tags(
    examples: LabelledExamples, predictions: TokenPredictions, labels: list[str], scheme: TagScheme = "bio"
) -> dict[str, Any]:
    """Score the entities of a split by record, windows of long texts merged."""
    tokens, offsets = scored_tokens(examples)
    gold = to_bio(examples.token_labels[tokens], offsets, scheme)
    return entity_scores(gold, to_bio(predictions.tags[tokens], offsets, scheme), offsets, labels)


def class_predictions(
    examples: LabelledExamples, probabilities: np.ndarray, labels: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield a readable line for each example, in the order of the split."""
    predicted = probabilities.argmax(axis=1)
    texts = examples.texts.to_pylist()
    second = examples.texts_pair.to_pylist() if examples.texts_pair is not None else [None] * len(texts)
    for row in range(examples.num_examples):
        gold = int(examples.labels[row])
        yield {
            "record_id": f"{int(examples.record_ids[row]):016x}",
            "text": texts[row],
            **({"text_pair": second[row]} if second[row] is not None else {}),
            "gold": labels[gold],
            "predicted": labels[int(predicted[row])],
            "probability": _rounded(probabilities[row, predicted[row]]),
            "gold_probability": _rounded(probabilities[row, gold]),
        }


def tag_predictions(
    examples: LabelledExamples, predictions: TokenPredictions, labels: list[str], scheme: TagScheme = "bio"
) -> Iterator[dict[str, Any]]:
    """Yield a readable line for each record, in the order of the split, windows of long texts merged.

    The probability of a line is the geometric mean over its tokens.
    """
    tokens, offsets = scored_tokens(examples)
    row_of_record = np.searchsorted(examples.offsets, tokens[offsets[:-1]], side="right") - 1
    texts = examples.texts.take(row_of_record).to_pylist()
    log_probability = np.log(np.maximum(predictions.probabilities[tokens], 1e-30))
    log_gold = np.log(np.maximum(predictions.gold_probabilities[tokens], 1e-30))
    starts, ends = examples.char_starts[tokens], examples.char_ends[tokens]
    gold_tags = to_bio(examples.token_labels[tokens], offsets, scheme)
    predicted_tags = to_bio(predictions.tags[tokens], offsets, scheme)
    gold = readable_entities(gold_tags, offsets, starts, ends, texts, labels)
    predicted = readable_entities(predicted_tags, offsets, starts, ends, texts, labels)
    for record, row in enumerate(row_of_record):
        span = slice(offsets[record], offsets[record + 1])
        yield {
            "record_id": f"{int(examples.record_ids[row]):016x}",
            "text": texts[record],
            "gold": gold[record],
            "predicted": predicted[record],
            "probability": _rounded(np.exp(log_probability[span].mean())),
            "gold_probability": _rounded(np.exp(log_gold[span].mean())),
        }


def readable_entities(
    tag_ids: np.ndarray,
    row_offsets: np.ndarray,
    char_starts: np.ndarray,
    char_ends: np.ndarray,
    texts: list[str],
    labels: list[str],
) -> list[list[dict[str, Any]]]:
    """Read the entities of tagged tokens back into the texts.

    Args:
        tag_ids: BIO ids of the tokens of all texts, int shape (num_tokens,).
        row_offsets: text i has tokens `row_offsets[i]` to `row_offsets[i + 1]`, int shape (num_texts + 1,).
        char_starts: first character of each token, int shape (num_tokens,).
        char_ends: one past its last character, int shape (num_tokens,).
        texts: one string a row.
        labels: entity types in the order of their tag ids.

    Returns:
        For each text its entities as `{"text", "type", "start", "end"}`, `end` exclusive, in order.
    """
    found: list[list[dict[str, Any]]] = [[] for _ in texts]
    rows, firsts, ends, types = decode_bio(tag_ids, row_offsets)
    first_chars = char_starts[row_offsets[rows] + firsts].tolist()
    last_chars = char_ends[row_offsets[rows] + ends - 1].tolist()
    for row, start, end, kind in zip(rows.tolist(), first_chars, last_chars, types.tolist(), strict=True):
        found[row].append({"text": texts[row][start:end], "type": labels[kind], "start": start, "end": end})
    return found


def write_scores(folder: Path, family: str, labels: list[str], **parts: Any) -> None:
    """Write `scores.json`: family, labels, the name of the main score, and the parts given (dev, test, ...)."""
    content = {"family": family, "labels": labels, "main_score": MAIN_SCORES[family], **parts}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / "scores.json").write_text(text, encoding="utf-8")


def write_predictions(folder: Path, lines: Iterator[dict[str, Any]]) -> None:
    """Write `predictions.jsonl`."""
    with (folder / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _rounded(probability: Any) -> float:
    return round(float(probability), 6)
