"""Batches of labelled examples: which examples stand together, and how they are padded.

The order of training is a pure function of (seed, epoch): a random permutation is cut into windows of
`WINDOW_BATCHES` batches, each window is sorted by length (ties stay random), cut into batches, and its
batches are shuffled. Texts of one batch are then about equally long, so little is padded, and each epoch
still sees new neighbours. Evaluation goes by length over the whole set.

Rows come from memory-mapped shards as flat columns with offsets; nothing here walks tokens in Python. Not
here: labels beyond their index (`fine_tuning.py`), pretraining batches and masks.
"""
# ruff: noqa: N806, N815 -- capitals at the end of a name are axes

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bert_core.examples.knowledge import TRUNK, Knowledge, Trees, visible_pairs
from bert_core.randomness import key_of, permutation
from bert_core.store.shards import list_column, read_shards

PAD_MULTIPLE_TOKENS = 2
"""Batches are padded to their longest row, rounded up to this, tokens; 8 would pad a twentieth more of short texts."""
WINDOW_BATCHES = 16
"""Batches that are sorted by length together."""
IGNORED = -100
"""Label of what is not scored, as in transformers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledExamples:
    """One split of a labelled set as columns; list columns are flat values with shared row offsets."""

    input_ids: np.ndarray
    """Token ids of all rows with special tokens, shape (num_tokens,)."""
    offsets: np.ndarray
    """Row i is `input_ids[offsets[i]:offsets[i + 1]]`, int64 shape (num_examples + 1,)."""
    length_a: np.ndarray
    """Tokens of A; segment 0 is [CLS] A [SEP], int64 shape (num_examples,)."""
    labels: np.ndarray
    """Class of each row, or -100 for sequence labelling, int64 shape (num_examples,); of questions the positions of the
    answer's first and last token, int64 shape (num_examples, 2)."""
    token_labels: np.ndarray
    """Tag of each token, -100 = not scored, int64 shape (num_tokens,); empty for single sentences."""
    char_starts: np.ndarray
    """First character of each token in the text, -1 at special tokens, int64 shape (num_tokens,)."""
    char_ends: np.ndarray
    """One past its last character, int64 shape (num_tokens,)."""
    record_ids: np.ndarray
    """Record that the row is (a window of), uint64 shape (num_examples,)."""
    texts: Any
    """Text column, Arrow strings."""
    texts_pair: Any = None
    """Column of second texts, null where there is none; None where there are no pairs at all."""
    trees: Trees | None = None
    """Triples that hang on the entities of the texts; None for none."""
    questions: "QuestionColumns | None" = None
    """extractive_qa only."""

    @property
    def num_examples(self) -> int:
        """Number of rows."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 shape (num_examples,)."""
        return np.diff(self.offsets)

    @property
    def num_tokens(self) -> np.ndarray:
        """The same with the tokens of its branches."""
        return self.lengths if self.trees is None else self.lengths + self.trees.lengths

    def knowledge_counts(self) -> dict[str, int]:
        """Return how many examples have branches, and how many entities and triples they hold."""
        trees = self.trees
        if trees is None:
            return {}
        return {
            "examples_with_triples": int((trees.lengths > 0).sum()),
            "entities": trees.num_entities,
            "triples": trees.num_triples,
            "triples_left_out": trees.num_left_out,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionColumns:
    """What examples of extractive_qa have beside the others."""

    scored_starts: np.ndarray
    """First position where an answer may begin, int64 shape (num_examples,)."""
    scored_ends: np.ndarray
    """One past the last, int64 shape (num_examples,)."""
    answers: list[list[str]]
    """All answers that are right, none where the question has no answer."""
    keys: list[str]
    """Id that the file gives the question."""


def read_labelled(folder: Path, split: str) -> LabelledExamples:
    """Read one split (`train`, `dev` or `test`) of a labelled folder.

    Raises:
        StoreError: the shards are missing or damaged.
    """
    table = read_shards(folder, split)
    input_ids, offsets = list_column(table, "input_ids")
    labels, questions = _numbers(table, "label", np.int64), None
    if "answer_first" in table.column_names:
        labels = np.stack([_numbers(table, name, np.int64) for name in ("answer_first", "answer_last")], axis=1)
        questions = QuestionColumns(
            scored_starts=_numbers(table, "scored_start", np.int64),
            scored_ends=_numbers(table, "scored_end", np.int64),
            answers=table.column("answers").to_pylist(),
            keys=table.column("key").to_pylist(),
        )
    return LabelledExamples(
        input_ids=input_ids,
        offsets=offsets,
        length_a=_numbers(table, "length_a", np.int64),
        labels=labels,
        token_labels=list_column(table, "token_labels")[0].astype(np.int64),
        char_starts=list_column(table, "char_starts")[0].astype(np.int64),
        char_ends=list_column(table, "char_ends")[0].astype(np.int64),
        record_ids=_numbers(table, "record_id", np.uint64),
        texts=table.column("text"),
        texts_pair=table.column("text_pair"),
        questions=questions,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledBatch:
    """Padded rows. B is examples, S is tokens."""

    rows_B: np.ndarray
    """Row of each example in its split, int64."""
    input_ids_BS: np.ndarray
    """Token ids, int64."""
    token_type_ids_BS: np.ndarray
    """0 in [CLS] A [SEP] and in padding, 1 in B [SEP], int64."""
    lengths_B: np.ndarray
    """Tokens of each row without padding, int64."""
    present_BS: np.ndarray
    """True at tokens, false at padding."""
    source: np.ndarray
    """Where the tokens of `present_BS` stand in the flat columns, int64 shape (num_tokens,)."""
    labels: np.ndarray
    """Classes (B,), tags (B, S) with -100 where not scored, or first and last token of the answer (B, 2), int64."""
    position_ids_BS: np.ndarray | None = None
    """Soft positions where a row is a sentence tree, int64; None where none is."""
    visible_BSS: np.ndarray | None = None
    """Which token sees which, bool; None where no row is a sentence tree."""


def training_order(lengths: np.ndarray, seed: int, epoch: int, batch_examples: int) -> list[np.ndarray]:
    """Return the rows of each batch of an epoch; every row is in exactly one batch.

    Args:
        lengths: tokens of each row, int shape (num_examples,).
        seed: of the recipe.
        epoch: from 0.
        batch_examples: rows of a batch; the last batch of the epoch's last window may hold fewer.

    Returns:
        int64 arrays of rows, one for each batch, in the order of the steps.
    """
    order = permutation(len(lengths), key_of(seed, "fine_tune", epoch))
    padded = -(-np.asarray(lengths) // PAD_MULTIPLE_TOKENS)
    batches: list[np.ndarray] = []
    window_rows = WINDOW_BATCHES * batch_examples
    for start in range(0, len(order), window_rows):
        window = order[start : start + window_rows]
        window = window[np.argsort(padded[window], kind="stable")]
        cut = [window[i : i + batch_examples] for i in range(0, len(window), batch_examples)]
        shuffled = permutation(len(cut), key_of(seed, "fine_tune", epoch, "window", start))
        batches += [cut[i] for i in shuffled]
    return batches


def evaluation_order(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Return the rows of each evaluation batch, longest first, so that memory runs out at once or never.

    Args:
        lengths: tokens of each row, int shape (num_examples,).
        batch_tokens: size of a batch with its padding, tokens; a batch has at least one row.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable").astype(np.int64)
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        num_rows = max(1, batch_tokens // _round_up(int(lengths[order[start]]), PAD_MULTIPLE_TOKENS))
        batches.append(order[start : start + num_rows])
        start += num_rows
    return batches


def padded_batches(examples: LabelledExamples, order: list[np.ndarray], *, pad_id: int) -> Iterator[LabelledBatch]:
    """Yield the batches of an order, padded.

    Example: rows of 3 and 5 tokens give `input_ids_BS` of shape (2, 6), filled with `pad_id` behind the
    tokens.

    Args:
        examples: one split.
        order: rows of each batch.
        pad_id: id of [PAD].
    """
    with_tags = len(examples.token_labels) == len(examples.input_ids) > 0
    for rows in order:
        lengths_B = examples.lengths[rows]
        num_positions = _round_up(int(lengths_B.max()), PAD_MULTIPLE_TOKENS)
        positions_BS = np.arange(num_positions)[None, :]
        present_BS = positions_BS < lengths_B[:, None]
        source = (examples.offsets[rows][:, None] + positions_BS)[present_BS]
        input_ids_BS = np.full(present_BS.shape, pad_id, np.int64)
        input_ids_BS[present_BS] = examples.input_ids[source]
        segment_one_BS = present_BS & (positions_BS >= examples.length_a[rows][:, None] + 2)
        if with_tags:
            labels = np.full(present_BS.shape, IGNORED, np.int64)
            labels[present_BS] = examples.token_labels[source]
        else:
            labels = examples.labels[rows]
        batch = LabelledBatch(
            rows_B=rows,
            input_ids_BS=input_ids_BS,
            token_type_ids_BS=segment_one_BS.astype(np.int64),
            lengths_B=lengths_B,
            present_BS=present_BS,
            source=source,
            labels=labels,
        )
        yield batch if examples.trees is None else with_branches(batch, examples.trees, pad_id)


def with_branches(batch: LabelledBatch, trees: Trees, pad_id: int) -> LabelledBatch:
    """Set the branches of each row behind its tokens; a batch in which there is none stays as it is.

    Lengths, sources, labels and what is present remain those of the trunk.
    """
    num_branch_B = trees.lengths[batch.rows_B]
    if not num_branch_B.any():
        return batch
    num_rows, width = batch.input_ids_BS.shape
    num_positions = max(width, _round_up(int((batch.lengths_B + num_branch_B).max()), PAD_MULTIPLE_TOKENS))

    def widened(values: np.ndarray, fill: int) -> np.ndarray:
        wide = np.full((num_rows, num_positions), fill, values.dtype)
        wide[:, :width] = values
        return wide

    line = np.repeat(np.arange(num_rows), num_branch_B)
    number = np.arange(len(line)) - np.repeat(np.cumsum(num_branch_B) - num_branch_B, num_branch_B)
    place, source = batch.lengths_B[line] + number, trees.offsets[batch.rows_B][line] + number
    firsts, ends = trees.entity_firsts[source], trees.entity_ends[source]
    input_ids_BS, token_type_ids_BS = widened(batch.input_ids_BS, pad_id), widened(batch.token_type_ids_BS, 0)
    branches_BS = widened(np.where(batch.present_BS, TRUNK, -1), -1)
    position_ids_BS = np.tile(np.arange(num_positions), (num_rows, 1))
    position_ids_BS[~widened(batch.present_BS, 0)] = 0
    firsts_BS, ends_BS = np.zeros((2, num_rows, num_positions), np.int64)
    token_type_ids_BS[line, place] = batch.token_type_ids_BS[line, firsts]
    input_ids_BS[line, place], branches_BS[line, place] = trees.ids[source], trees.branches[source]
    position_ids_BS[line, place] = trees.positions[source]
    firsts_BS[line, place], ends_BS[line, place] = firsts, ends
    return replace(
        batch,
        input_ids_BS=input_ids_BS,
        token_type_ids_BS=token_type_ids_BS,
        present_BS=widened(batch.present_BS, 0),
        labels=widened(batch.labels, IGNORED) if batch.labels.shape == batch.input_ids_BS.shape else batch.labels,
        position_ids_BS=position_ids_BS,
        visible_BSS=visible_pairs(branches_BS, firsts_BS, ends_BS),
    )


def hang_triples(examples: LabelledExamples, knowledge: Knowledge, max_tokens: int) -> LabelledExamples:
    """Return the examples as sentence trees of at most `max_tokens` tokens; see `Knowledge.trees`."""
    texts, second = examples.texts, examples.texts_pair
    trees = knowledge.trees(
        examples.offsets,
        examples.char_starts,
        examples.char_ends,
        examples.length_a,
        texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts),
        second.to_pylist() if hasattr(second, "to_pylist") else second,
        max_tokens,
    )
    return replace(examples, trees=trees)


def scored_tokens(examples: LabelledExamples) -> tuple[np.ndarray, np.ndarray]:
    """Put the scored tokens of every record in the order of its text, windows merged.

    A token that stands in several windows is scored in one of them and -100 in the others, so the scored
    tokens of a record's windows are its tokens, each once.

    Example: a record with windows `[CLS] a b c [SEP]` (c not scored) and `[CLS] b c d [SEP]` (b not scored)
    gives a, b, c, d.

    Returns:
        Indices into the flat columns, int64 shape (num_scored,), and the offsets of the records in them,
        int64 shape (num_records + 1,). Records stand in the order of their first row; one without tokens is
        left out.
    """
    scored = np.flatnonzero(examples.token_labels != IGNORED)
    row_of_token = np.repeat(np.arange(examples.num_examples), examples.lengths)[scored]
    record_of_token = record_order(examples.record_ids)[row_of_token]
    order = np.lexsort((examples.char_starts[scored], record_of_token))
    record_of_token = record_of_token[order]
    bounds = np.flatnonzero(record_of_token[1:] != record_of_token[:-1]) + 1
    return scored[order], np.concatenate(([0], bounds, [len(order)] if len(order) else [])).astype(np.int64)


def record_order(record_ids: np.ndarray) -> np.ndarray:
    """Number the records by their first row: `[9, 9, 4, 9]` -> `[0, 0, 1, 0]`, int64."""
    _, first_rows, inverse = np.unique(record_ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first_rows), np.int64)
    rank[np.argsort(first_rows)] = np.arange(len(first_rows))
    return rank[inverse]


def _numbers(table: Any, name: str, kind: type) -> np.ndarray:
    return table.column(name).combine_chunks().to_numpy(zero_copy_only=False).astype(kind)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
