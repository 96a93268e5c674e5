"""Questions with their contexts to examples: `[CLS] question [SEP] window of the context [SEP]`, and where answers lie.

A context that is too long for one example becomes several windows, a stride apart. An answer may begin only in the
window where its first token has most context (`windows.py`), so that no answer is proposed twice. Answers are mapped
to tokens, and tokens back to characters, through the offsets of the tokenizer: in Chinese, too, to the character. A
window without the whole answer teaches position 0, [CLS], as does a question without an answer.

Of several answers the one given most often is learned, the first of equals. An answer whose border lies inside a piece
is widened to the piece, one without a token is left out; both are counted.

One builder of inputs for training and prediction (`training/predict.py`). Scores are the matter of
`training/answers.py`.

Source: Devlin et al. 2019, released code for SQuAD.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.config.tasks import AnswersConfig, TaskConfig
from bert_core.examples.windows import Windows, cut_windows, ranges
from bert_core.randomness import mix64
from bert_core.store.schemas import questions_schema
from bert_core.store.shards import list_array, write_shards
from bert_core.tokens.tokenizer import TokenizedTexts, WordPieceTokenizer

NUM_SPECIAL_TOKENS = 3

_RECORDS_AT_ONCE = 4096
_NOT_SCORED = -100


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionInputs:
    """Inputs of questions, window by window; one record is one question."""

    ids: np.ndarray
    """Token ids with special ones, int32 shape (num_tokens,)."""
    offsets: np.ndarray
    """Window w is `ids[offsets[w]:offsets[w + 1]]`, int64 shape (num_windows + 1,)."""
    length_a: np.ndarray
    """Tokens of the question, int64 shape (num_windows,)."""
    char_starts: np.ndarray
    """First character of each token in its own text, -1 at special tokens, int32 shape (num_tokens,)."""
    char_ends: np.ndarray
    """One past its last character, int32 shape (num_tokens,)."""
    windows: Windows
    """Which tokens of which record's context each window holds."""
    scored_starts: np.ndarray
    """First position of a window where an answer may begin, int64 shape (num_windows,)."""
    scored_ends: np.ndarray
    """One past the last, int64 shape (num_windows,)."""
    contexts: TokenizedTexts
    """Tokens of the distinct contexts."""
    context_of: np.ndarray
    """The context of each record among them, int64 shape (num_records,)."""
    num_cut: int
    """Questions that were shortened."""
    num_tokens: int
    """Tokens of all questions and of the context of each, whole."""
    num_unknown: int
    """Those of them that are [UNK]."""

    def in_window(self, tokens: np.ndarray) -> np.ndarray:
        """Turn tokens of the windows' contexts, int shape (num_windows,), into positions in the windows' inputs."""
        return tokens - self.windows.starts + self.length_a + 2


def question_inputs(
    tokenizer: WordPieceTokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_tokens: int,
    config: AnswersConfig,
) -> QuestionInputs:
    """Make the inputs of questions about contexts.

    Example: 3 tokens of question, 10 of context and `max_tokens` 14 -> windows of 8 context tokens, [0, 8) and [2, 10).

    Args:
        tokenizer: of the model.
        questions: one a record.
        contexts: as many; one that stands several times is tokenized once.
        max_tokens: longest input with its special tokens, tokens.
        config: for the longest question and the stride.
    """
    number_of = {text: number for number, text in enumerate(dict.fromkeys(contexts))}
    context_of = np.array([number_of[text] for text in contexts], np.int64)
    asked, told = tokenizer.encode(list(questions)), tokenizer.encode(list(number_of))
    num_asked, num_told = np.diff(asked.row_offsets), np.diff(told.row_offsets)[context_of]
    kept = np.minimum(num_asked, config.max_question_tokens)
    room = max_tokens - NUM_SPECIAL_TOKENS - kept
    stride = config.stride_tokens if config.stride_tokens is not None else np.maximum(1, room // 2)
    windows = cut_windows(num_told, room, stride)
    rows, sizes = windows.rows, windows.ends - windows.starts
    length_a = kept[rows]
    offsets = np.concatenate([[0], np.cumsum(length_a + sizes + NUM_SPECIAL_TOKENS)]).astype(np.int64)
    ids = np.full(offsets[-1], tokenizer.sep_id, np.int32)
    ids[offsets[:-1]] = tokenizer.cls_id
    char_starts, char_ends = np.full((2, len(ids)), -1, np.int32)
    first_told = told.row_offsets[context_of][rows] + windows.starts
    parts = [
        (asked, offsets[:-1] + 1, asked.row_offsets[:-1][rows], length_a),
        (told, offsets[:-1] + 2 + length_a, first_told, sizes),
    ]
    for tokens, places, firsts, lengths in parts:
        inside, source = ranges(places, lengths), ranges(firsts, lengths)
        ids[inside] = tokens.ids[source]
        char_starts[inside], char_ends[inside] = tokens.char_starts[source], tokens.char_ends[source]
    unknown_before = np.concatenate([[0], np.cumsum(told.ids == tokenizer.unk_id)])
    unknown = np.diff(unknown_before[told.row_offsets])[context_of]
    to_position = length_a + 2 - windows.starts
    return QuestionInputs(
        ids=ids,
        offsets=offsets,
        length_a=length_a.astype(np.int64),
        char_starts=char_starts,
        char_ends=char_ends,
        windows=windows,
        scored_starts=windows.scored_starts + to_position,
        scored_ends=windows.scored_ends + to_position,
        contexts=told,
        context_of=context_of,
        num_cut=int((kept < num_asked).sum()),
        num_tokens=len(asked.ids) + int(num_told.sum()),
        num_unknown=int((asked.ids == tokenizer.unk_id).sum() + unknown.sum()),
    )


def answer_tokens(inputs: QuestionInputs, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, ...]:
    """Find the tokens of one answer of each record.

    Example: characters 1 to 3 of "在江南" with one token a character -> tokens 1 to 2.

    Args:
        inputs: of the records.
        starts: first character in the record's context, -1 where there is no answer, int shape (num_records,).
        ends: one past its last character.

    Returns:
        First and last token in the context (-1 where there is none), and whether a border lies inside a piece.
    """
    told = inputs.contexts
    bounds = told.row_offsets
    context_of_token = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    width = int(max(told.char_ends.max(initial=0), ends.max(initial=0))) + 2  # characters of one context apart
    at = inputs.context_of * width
    first = np.searchsorted(context_of_token * width + told.char_ends, at + starts, side="right")
    last = np.searchsorted(context_of_token * width + told.char_starts, at + ends, side="left") - 1
    found = (starts >= 0) & (first <= last)
    misaligned = np.zeros(len(starts), bool)
    misaligned[found] = told.char_starts[first[found]] < starts[found]
    misaligned[found] |= told.char_ends[last[found]] > ends[found]
    begins = bounds[inputs.context_of]
    return np.where(found, first - begins, -1), np.where(found, last - begins, -1), misaligned


def write_questions(
    folder: Path, split: str, records: pa.Table, tokenizer: WordPieceTokenizer, task: TaskConfig
) -> dict[str, Any]:
    """Write one split of a task of questions.

    Args:
        folder: for the shards (schema `questions_schema`).
        split: their name.
        records: of the split (schema `RECORDS`).
        tokenizer: of the model.
        task: for `fine_tune.max_tokens` and `fine_tune.answers`.

    Returns:
        Counts: `records`, `examples` (windows), `windowed`, `cut` questions, `unanswerable`, `misaligned_answers`,
        `lost_answers`, `unk_fraction` of the tokens, `fill_fraction` of max_tokens.
    """
    found: Counter[str] = Counter(records=records.num_rows)

    def tables() -> Iterator[pa.Table]:
        for first in range(0, records.num_rows, _RECORDS_AT_ONCE):
            part = records.slice(first, _RECORDS_AT_ONCE).combine_chunks()
            yield _examples_of(part, tokenizer, task, found)

    write_shards(folder, split, questions_schema(tokenizer.vocabulary_size), tables())
    names = ("records", "examples", "windowed", "cut", "unanswerable", "misaligned_answers", "lost_answers")
    return {name: found[name] for name in names} | {
        "unk_fraction": round(found["unknown"] / max(1, found["tokens"]), 6),
        "fill_fraction": round(found["example_tokens"] / max(1, found["examples"] * task.fine_tune.max_tokens), 6),
    }


def _examples_of(records: pa.Table, tokenizer: WordPieceTokenizer, task: TaskConfig, found: Counter[str]) -> pa.Table:
    questions, contexts = records.column("text").to_pylist(), records.column("text_pair").to_pylist()
    answers = records.column("answer_texts").to_pylist()
    learned = [
        _most_given(starts, texts)
        for starts, texts in zip(records.column("answer_starts").to_pylist(), answers, strict=True)
    ]
    starts, ends = np.array(learned, np.int64).reshape(-1, 2).T
    inputs = question_inputs(tokenizer, questions, contexts, task.fine_tune.max_tokens, task.fine_tune.answers)
    first, last, misaligned = answer_tokens(inputs, starts, ends)
    windows = inputs.windows
    rows = windows.rows
    is_here = (first[rows] >= windows.starts) & (first[rows] >= 0) & (last[rows] < windows.ends)
    num_windows = np.bincount(rows, minlength=len(questions))
    found.update(
        examples=len(rows),
        example_tokens=len(inputs.ids),
        tokens=inputs.num_tokens,
        unknown=inputs.num_unknown,
        windowed=int((num_windows > 1).sum()),
        cut=inputs.num_cut,
        unanswerable=int((starts < 0).sum()),
        misaligned_answers=int(misaligned.sum()),
        lost_answers=int(((starts >= 0) & (first < 0)).sum()),
    )
    record_ids = records.column("record_id").to_numpy()[rows]
    schema = questions_schema(tokenizer.vocabulary_size)
    no_tags = np.zeros(len(rows) + 1, np.int64)
    columns = {
        "example_id": mix64(record_ids ^ mix64(windows.starts.astype(np.uint64))),
        "record_id": record_ids,
        "input_ids": list_array(inputs.ids, inputs.offsets, schema.field("input_ids").type.value_type),
        "length_a": inputs.length_a.astype(np.int32),
        "label": np.full(len(rows), _NOT_SCORED, np.int32),
        "token_labels": list_array(np.zeros(0, np.int32), no_tags, pa.int32()),
        "char_starts": list_array(inputs.char_starts, inputs.offsets, pa.int32()),
        "char_ends": list_array(inputs.char_ends, inputs.offsets, pa.int32()),
        "text": records.column("text").take(rows),
        "text_pair": records.column("text_pair").take(rows),
        "answer_first": np.where(is_here, inputs.in_window(first[rows]), 0).astype(np.int32),
        "answer_last": np.where(is_here, inputs.in_window(last[rows]), 0).astype(np.int32),
        "scored_start": inputs.scored_starts.astype(np.int32),
        "scored_end": inputs.scored_ends.astype(np.int32),
        "answers": records.column("answer_texts").take(rows),
        "key": records.column("key").take(rows),
    }
    return pa.table(columns).cast(schema)


def _most_given(starts: list[int], texts: list[str]) -> tuple[int, int]:
    """Return the characters of the answer that was given most often, the first of equals; -1 where there is none."""
    if not starts:
        return -1, -1
    (start, text), _ = Counter(zip(starts, texts, strict=True)).most_common(1)[0]
    return start, start + len(text)
