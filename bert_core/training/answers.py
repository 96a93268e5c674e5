"""From spans in windows to one answer a question: the best over all windows, the list of the best, or no answer.

An answer's score is the sum of the logits of its first and its last token. Windows of one question compete by these
sums, as in the code released with BERT. No answer is given where the score of none (both logits of [CLS], the lowest
over the windows) exceeds that of the best answer by more than a threshold; without a threshold an answer is always
given. Probabilities are a softmax over the best answers of a question, with none among them where it may be given.

Answers are cut out of the context by characters, never joined from tokens.

Source: Devlin et al. 2019, released code for SQuAD; Rajpurkar et al. 2018 for the threshold that is best on dev.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_core.training.answer_metrics import answer_scores, question_scores
from bert_core.training.labelled_batches import LabelledExamples, QuestionColumns, record_order

NUM_BEST_SHOWN = 3
"""Answers of each question in `predictions.jsonl`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanPredictions:
    """What a model says about every window of a split."""

    scores: np.ndarray
    """Sums of two logits, best first, -inf where there are no more, float32 shape (num_windows, num_best)."""
    firsts: np.ndarray
    """Position of the first token in the window's input, int64 of the same shape."""
    lasts: np.ndarray
    """Position of the last token, int64 of the same shape."""
    none_scores: np.ndarray
    """Score of no answer in the window, float32 shape (num_windows,)."""
    gold_scores: np.ndarray
    """Score of the learned answer, -inf where the window may not give it, float32 of this shape."""
    losses: np.ndarray
    """Mean cross-entropy of both ends, nats, float32 of this shape."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The best spans of each question, windows merged."""

    rows: np.ndarray
    """First window of each question, int64 shape (num_questions,)."""
    windows: np.ndarray
    """Window of each span, by question, best first, int64 shape (num_spans,)."""
    ranks: np.ndarray
    """Its rank in the window, int64 shape (num_spans,)."""
    offsets: np.ndarray
    """Question q has spans `offsets[q]` to `offsets[q + 1]`, int64 shape (num_questions + 1,)."""
    none_scores: np.ndarray
    """Score of no answer, float32 shape (num_questions,)."""
    gold_scores: np.ndarray
    """Score of the learned answer, -inf where no window may give it, float32 of this shape."""
    best_scores: np.ndarray
    """Score of the best span, -inf where there is none, float32 of this shape."""


def merge_windows(record_ids: np.ndarray, spans: SpanPredictions) -> Answers:
    """Rank the spans of all windows of each question.

    Args:
        record_ids: question of each window, shape (num_windows,).
        spans: of the windows.
    """
    question_of = record_order(record_ids)
    num_questions = int(question_of.max(initial=-1)) + 1
    windows, ranks = np.nonzero(np.isfinite(spans.scores))
    order = np.lexsort((ranks, windows, -spans.scores[windows, ranks], question_of[windows]))
    windows, ranks = windows[order], ranks[order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(question_of[windows], minlength=num_questions))])
    best = np.full(num_questions, -np.inf, np.float32)
    has_span = np.diff(offsets) > 0
    firsts = offsets[:-1][has_span]
    best[has_span] = spans.scores[windows[firsts], ranks[firsts]]
    none, gold = np.full(num_questions, np.inf, np.float32), np.full(num_questions, -np.inf, np.float32)
    np.minimum.at(none, question_of, spans.none_scores)
    np.maximum.at(gold, question_of, spans.gold_scores)
    rows = np.unique(question_of, return_index=True)[1]
    return Answers(
        rows=rows,
        windows=windows,
        ranks=ranks,
        offsets=offsets.astype(np.int64),
        none_scores=none,
        gold_scores=gold,
        best_scores=best,
    )


def is_declined(answers: Answers, threshold: float | None) -> np.ndarray:
    """Return which questions get no answer, bool shape (num_questions,)."""
    no_span = ~np.isfinite(answers.best_scores)
    if threshold is None:
        return no_span
    return no_span | (answers.none_scores - answers.best_scores > threshold)


def best_threshold(margins: np.ndarray, answered: np.ndarray, declined: np.ndarray) -> float:
    """Return the threshold with the highest mean score; of equals the lowest.

    Example: margins `[-2, 1, 3]` (none less best answer), scores 1, 0, 0 where answered, 0, 1, 1 where declined -> -2.

    Args:
        margins: score of none less that of the best answer, float shape (num_questions,).
        answered: what a question scores with its best answer, 0 to 1.
        declined: what it scores without one, 0 to 1.
    """
    order = np.argsort(margins, kind="stable")
    values, gains = margins[order].astype(np.float64), (answered - declined)[order]
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)  # equal margins are decided together
    totals = np.concatenate([[0.0], np.cumsum(gains)[ends]])
    best = int(totals.argmax())
    return float(values[0] - 1.0) if best == 0 else float(values[ends[best - 1]])


def texts_of_best(examples: LabelledExamples, spans: SpanPredictions, answers: Answers) -> list[str]:
    """Return the text of each question's best span, empty where there is none."""
    contexts = examples.texts_pair.take(answers.rows).to_pylist()
    found = [""] * len(contexts)
    for question in np.flatnonzero(np.isfinite(answers.best_scores)).tolist():
        start, end = _characters(examples, spans, answers, int(answers.offsets[question]))
        found[question] = contexts[question][start:end]
    return found


def fitted_threshold(
    examples: LabelledExamples, spans: SpanPredictions, answers: Answers, scoring: Any
) -> float | None:
    """Return the threshold that is best on a split by F1; None where there is no question."""
    if len(answers.rows) == 0:
        return None
    gold = _gold(examples, answers)
    answered = question_scores(gold, texts_of_best(examples, spans, answers), scoring)[:, 1]
    declined = np.array([not one for one in gold], np.float64)
    margins = np.where(np.isfinite(answers.best_scores), answers.none_scores - answers.best_scores, np.inf)
    return best_threshold(margins, answered, declined)


def score_answers(
    examples: LabelledExamples, spans: SpanPredictions, answers: Answers, threshold: float | None, scoring: Any
) -> dict[str, Any]:
    """Score the answers of a split; see `answer_scores`."""
    texts = texts_of_best(examples, spans, answers)
    declined = is_declined(answers, threshold)
    given = ["" if no else text for text, no in zip(texts, declined.tolist(), strict=True)]
    return answer_scores(_gold(examples, answers), given, scoring)


def answer_predictions(
    examples: LabelledExamples, spans: SpanPredictions, answers: Answers, threshold: float | None, scoring: Any
) -> Iterator[dict[str, Any]]:
    """Yield a readable line for each question, in the order of the split."""
    assert examples.questions is not None, "examples of questions"
    found = readable_answers(examples, spans, answers, threshold, num_best=NUM_BEST_SHOWN)
    gold = _gold(examples, answers)
    values = question_scores(gold, [line["answer"] for line in found], scoring).tolist()
    for question, (row, line) in enumerate(zip(answers.rows.tolist(), found, strict=True)):
        yield {
            "record_id": f"{int(examples.record_ids[row]):016x}",
            "key": examples.questions.keys[row],
            "text": line["text"],
            "text_pair": line["text_pair"],
            "gold": " / ".join(dict.fromkeys(gold[question])),
            "predicted": line["answer"],
            "start": line["start"],
            "end": line["end"],
            "probability": line["probability"],
            "gold_probability": _gold_probability(spans, answers, question, threshold, bool(gold[question])),
            "exact_match": values[question][0],
            "f1": round(values[question][1], 6),
            "best": line["best"],
        }


def readable_answers(
    examples: LabelledExamples, spans: SpanPredictions, answers: Answers, threshold: float | None, *, num_best: int
) -> list[dict[str, Any]]:
    """Say of each question what its answer is.

    Args:
        examples: the windows.
        spans: of the windows.
        answers: of the questions.
        threshold: beyond which none is given; None for never.
        num_best: answers listed of each question, those of equal text once.

    Returns:
        `text` (question), `text_pair` (context), `answer` (empty for none), `start` and `end` (characters of the
        context, `end` exclusive; -1 for none), `probability`, and `best`: the likeliest answers, each with `text`,
        `start`, `end` and `probability`.
    """
    questions = examples.texts.take(answers.rows).to_pylist()
    contexts = examples.texts_pair.take(answers.rows).to_pylist()
    declined, lines = is_declined(answers, threshold).tolist(), []
    for question, (text, context) in enumerate(zip(questions, contexts, strict=True)):
        span = slice(int(answers.offsets[question]), int(answers.offsets[question + 1]))
        scores = spans.scores[answers.windows[span], answers.ranks[span]].astype(np.float64)
        none = float(answers.none_scores[question])
        chances = _softmax(np.append(scores, none if threshold is not None or not len(scores) else -np.inf))
        best: dict[str, dict[str, Any]] = {}
        for place, chance in zip(range(span.start, span.stop), chances[:-1].tolist(), strict=True):
            start, end = _characters(examples, spans, answers, place)
            if context[start:end] in best:
                best[context[start:end]]["probability"] += chance
            elif len(best) < num_best:
                best[context[start:end]] = {
                    "text": context[start:end],
                    "start": start,
                    "end": end,
                    "probability": chance,
                }
        listed = [{**one, "probability": round(one["probability"], 6)} for one in best.values()]
        given = (
            {"start": -1, "end": -1, "probability": round(float(chances[-1]), 6)} if declined[question] else listed[0]
        )
        lines.append(
            {
                "text": text,
                "text_pair": context,
                "answer": given.get("text", ""),
                "start": given["start"],
                "end": given["end"],
                "probability": given["probability"],
                "best": listed,
            }
        )
    return lines


def _gold(examples: LabelledExamples, answers: Answers) -> list[list[str]]:
    columns: QuestionColumns | None = examples.questions
    assert columns is not None, "examples of questions"
    return [columns.answers[row] for row in answers.rows.tolist()]


def _characters(examples: LabelledExamples, spans: SpanPredictions, answers: Answers, place: int) -> tuple[int, int]:
    """Return the first character of a span in its context, and one past the last."""
    window, rank = int(answers.windows[place]), int(answers.ranks[place])
    base = int(examples.offsets[window])
    first, last = base + int(spans.firsts[window, rank]), base + int(spans.lasts[window, rank])
    return int(examples.char_starts[first]), int(examples.char_ends[last])


def _gold_probability(
    spans: SpanPredictions, answers: Answers, question: int, threshold: float | None, has_answer: bool
) -> float:
    """Probability of the truth beside the best spans; 0 where it may not be chosen."""
    span = slice(int(answers.offsets[question]), int(answers.offsets[question + 1]))
    scores = spans.scores[answers.windows[span], answers.ranks[span]].astype(np.float64)
    none = float(answers.none_scores[question]) if threshold is not None else -np.inf
    true = float(answers.gold_scores[question]) if has_answer else none
    if not np.isfinite(true):
        return 0.0
    rivals = scores if true in scores else np.append(scores, true)
    if has_answer:
        rivals = np.append(rivals, none)
    return round(float(np.exp(true - np.logaddexp.reduce(rivals))), 6)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()
