"""Tokenized documents as flat columns: which belong to training, which are held out, and the columns of a group.

Division is by whole documents, so no held-out text is ever trained on. Nothing is drawn from here but that division.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bert_core.errors import StoreError
from bert_core.randomness import key_of, mix64
from bert_core.store.shards import read_shard, shard_paths
from bert_core.tokens.ordered_threads import map_in_order

_LISTS = {
    "input_ids": np.uint16,
    "sentence_lengths": np.int32,
    "word_starts": np.uint8,
    "entity_starts": np.int32,
    "entity_lengths": np.int32,
}
"""List columns of tokens, with the types that those have which a corpus does without."""


@dataclass(frozen=True)
class DocumentIndex:
    """All documents of a tokens folder that have tokens, in the order of its rows."""

    paths: list[Path]
    """Shards of tokens."""
    shard_of: np.ndarray
    """Shard of each document, int64, shape (num_documents,)."""
    row_of: np.ndarray
    """Row of each document in its shard, int64."""
    doc_ids: np.ndarray
    """Digest of each document's text, uint64."""
    doc_keys: np.ndarray
    """What a document's draws are keyed by, uint64: its id, and another number for each later duplicate of it."""
    first_tokens: np.ndarray
    """First token of each document, counted through the whole folder, int64."""
    num_tokens: np.ndarray
    """Tokens of each document, int64."""
    has_words: bool
    """Whether a segmenter found words."""
    has_entities: bool
    """Whether there are lexicons."""

    @property
    def num_distinct(self) -> int:
        """Number of documents that are no duplicates of each other."""
        return num_distinct(self.doc_ids)

    @classmethod
    def read(cls, tokens_folder: Path) -> "DocumentIndex":
        """Read ids and lengths of all documents."""
        paths = shard_paths(tokens_folder, "tokens")
        doc_ids, shard_of, row_of, num_tokens, names = [], [], [], [], set[str]()
        for number, path in enumerate(paths):
            table = read_shard(path)
            names = set(table.column_names)
            lengths = pc.call_function("list_value_length", [table.column("input_ids")]).to_numpy()
            rows = np.nonzero(lengths)[0]
            num_tokens.append(lengths[rows].astype(np.int64))
            doc_ids.append(table.column("doc_id").to_numpy()[rows])
            shard_of.append(np.full(len(rows), number, np.int64))
            row_of.append(rows)
        ids = np.concatenate(doc_ids).astype(np.uint64)
        with np.errstate(over="ignore"):
            doc_keys = ids + mix64(_occurrences(ids).astype(np.uint64))
        counts = np.concatenate(num_tokens)
        return cls(
            paths,
            np.concatenate(shard_of),
            np.concatenate(row_of),
            ids,
            doc_keys,
            np.cumsum(counts) - counts,
            counts,
            "word_starts" in names,
            "entity_starts" in names,
        )

    def select(self, mask: np.ndarray) -> "DocumentIndex":
        """Return the documents where `mask` is true."""
        columns = ("shard_of", "row_of", "doc_ids", "doc_keys", "first_tokens", "num_tokens")
        return replace(self, **{name: getattr(self, name)[mask] for name in columns})

    def by_shard(self) -> list["DocumentIndex"]:
        """Divide into groups of one shard; a shard without two distinct documents joins the one before or after."""
        groups: list[DocumentIndex] = []
        begin = 0
        for number in range(len(self.paths)):
            mask = (self.shard_of >= begin) & (self.shard_of <= number)
            group = self.select(mask)
            if group.num_distinct >= 2:
                groups.append(group)
                begin = number + 1
        rest = self.shard_of >= begin
        if rest.any() and groups:
            first = groups.pop().shard_of[0]
            rest = self.shard_of >= first
        if rest.any():
            groups.append(self.select(rest))
        return groups


def num_distinct(values: np.ndarray) -> int:
    """Count the values that differ, by sorting; numpy's own `unique` takes ten times as long for 64-bit digests."""
    ordered = np.sort(values)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(len(values), 1)


def _occurrences(ids: np.ndarray) -> np.ndarray:
    """Count the earlier equals of each id. Example: `[7, 8, 7, 7]` -> `[0, 0, 1, 2]`."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ids)]
    first_of = np.maximum.accumulate(np.where(is_first, np.arange(len(ids)), 0))
    counted = np.empty(len(ids), np.int64)
    counted[order] = np.arange(len(ids)) - first_of
    return counted


def is_held_out(doc_ids: np.ndarray, held_out_fraction: float, seed: int, at_least: int) -> np.ndarray:
    """Choose the documents that are kept for evaluation, as a function of seed and document alone.

    A document is held out where its draw lies below the fraction. Where that leaves either side with fewer than
    `at_least` distinct documents, those with the nearest draws change sides. Duplicates stay together.

    Args:
        doc_ids: uint64, shape (num_documents,).
        held_out_fraction: 0 to 0.5; 0 holds out nothing.
        seed: of the run.
        at_least: distinct documents that each side gets where there are twice as many, documents.

    Returns:
        bool, shape (num_documents,).
    """
    distinct, inverse = np.unique(doc_ids, return_inverse=True)
    if held_out_fraction == 0.0 or len(distinct) < 2:
        return np.zeros(len(doc_ids), np.bool_)
    with np.errstate(over="ignore"):
        values = mix64(mix64(distinct) + key_of(seed, "held_out"))
    uniforms = (values >> np.uint64(11)) * (1.0 / (1 << 53))
    fewest = min(at_least, len(distinct) // 2)
    num_held_out = int(np.clip(np.sum(uniforms < held_out_fraction), fewest, len(distinct) - fewest))
    chosen = np.zeros(len(distinct), np.bool_)
    chosen[np.lexsort((distinct, uniforms))[:num_held_out]] = True
    return chosen[inverse]


@dataclass(frozen=True)
class TokenDocuments:
    """A group of documents one after the other."""

    doc_ids: np.ndarray
    """uint64, shape (num_documents,)."""
    doc_keys: np.ndarray
    """uint64, shape (num_documents,)."""
    first_tokens: np.ndarray
    """First token of each document, counted through the whole tokens folder, int64, shape (num_documents,)."""
    ids: np.ndarray
    """Tokens, uint16 or uint32, shape (num_tokens,)."""
    offsets: np.ndarray
    """First token of each document and the end, int64, shape (num_documents + 1,)."""
    sentence_lengths: np.ndarray
    """Tokens of each sentence, int32, shape (num_sentences,)."""
    sentence_offsets: np.ndarray
    """First sentence of each document and the end, int64, shape (num_documents + 1,)."""
    word_starts: np.ndarray
    """1 where a word begins, uint8, shape (num_tokens,); empty where a word begins at each token but `##` pieces."""
    entity_starts: np.ndarray
    """First token of each entity, counted from the group's first token, int64, shape (num_entities,)."""
    entity_lengths: np.ndarray
    """Tokens of each entity, int32, shape (num_entities,)."""
    entity_offsets: np.ndarray
    """First entity of each document and the end, int64, shape (num_documents + 1,)."""

    @classmethod
    def load(cls, index: DocumentIndex, num_threads: int = 1) -> "TokenDocuments":
        """Read the documents of an index into memory; threads share the record batches.

        Raises:
            StoreError: sentence lengths of a document do not add up to its tokens.
        """
        chosen = [
            (batch, rows)
            for number in np.unique(index.shard_of)
            for batch, rows in _rows_by_batch(read_shard(index.paths[number]), index.row_of[index.shard_of == number])
        ]
        columns, offsets_of, work = _room_for(chosen, len(index.doc_ids))
        for _ in map_in_order(_copy_list, work, num_threads):
            pass
        ids, sentence_lengths, word_starts, entity_starts, entity_lengths = (columns[name] for name in _LISTS)
        offsets, sentence_offsets, entity_offsets = (
            offsets_of[name] for name in ("input_ids", "sentence_lengths", "entity_starts")
        )
        _check_sums(index.doc_ids, sentence_lengths, sentence_offsets, offsets)
        first_tokens = np.repeat(offsets[:-1], np.diff(entity_offsets))
        return cls(
            doc_ids=index.doc_ids,
            doc_keys=index.doc_keys,
            first_tokens=index.first_tokens,
            ids=ids,
            offsets=offsets,
            sentence_lengths=sentence_lengths,
            sentence_offsets=sentence_offsets,
            word_starts=word_starts,
            entity_starts=entity_starts + first_tokens,
            entity_lengths=entity_lengths,
            entity_offsets=entity_offsets,
        )


def _rows_by_batch(table: pa.Table, rows: np.ndarray) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Divide ascending rows of a table among its record batches, counted from the first row of each."""
    first = 0
    for batch in table.select([name for name in _LISTS if name in table.column_names]).to_batches():
        low, high = np.searchsorted(rows, (first, first + batch.num_rows))
        if high > low:
            yield batch, rows[low:high] - first
        first += batch.num_rows


@dataclass(frozen=True)
class _ListCopy:
    """Some rows of a list column, and where their values go."""

    column: pa.ListArray
    starts: np.ndarray
    """First value of each row, int64."""
    stops: np.ndarray
    """One past its last value, int64."""
    target: np.ndarray
    """Room for the values of all rows, one after the other."""


def _room_for(
    chosen: list[tuple[pa.RecordBatch, np.ndarray]], num_documents: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[_ListCopy]]:
    """Lay out room for the list columns of chosen rows, so that values are copied once; no room for those not there.

    Returns:
        Values, to be filled, and row offsets (int64) of all rows by column; and the copies that fill them.
    """
    columns, offsets_of, work = {}, {}, []
    for name, dtype in _LISTS.items():
        if chosen and name not in chosen[0][0].schema.names:
            columns[name], offsets_of[name] = np.empty(0, dtype), np.zeros(num_documents + 1, np.int64)
            continue
        ranges = []
        for batch, rows in chosen:
            offsets = batch.column(name).offsets.to_numpy()
            ranges.append((offsets[rows].astype(np.int64), offsets[rows + 1].astype(np.int64)))
        lengths = [np.zeros(1, np.int64), *(stops - starts for starts, stops in ranges)]
        offsets_of[name] = np.cumsum(np.concatenate(lengths))
        value_type = chosen[0][0].column(name).type.value_type
        dtype = np.uint8 if pa.types.is_boolean(value_type) else value_type.to_pandas_dtype()
        columns[name] = np.empty(offsets_of[name][-1], dtype)
        at = 0
        for (batch, _), (starts, stops) in zip(chosen, ranges, strict=True):
            num_values = int((stops - starts).sum())
            work.append(_ListCopy(batch.column(name), starts, stops, columns[name][at : at + num_values]))
            at += num_values
    return columns, offsets_of, work


def _copy_list(copy: _ListCopy) -> None:
    """Copy the values of some rows of a list column to their place; bits become bytes."""
    from bert_core.examples.copy_kernels import take_bits, take_values

    values = copy.column.values
    if pa.types.is_boolean(values.type):
        bits = np.frombuffer(values.buffers()[1] or b"", np.uint8)
        take_bits(bits, copy.starts + values.offset, copy.stops + values.offset, copy.target)
    else:
        take_values(values.to_numpy(zero_copy_only=True), copy.starts, copy.stops, copy.target)


def _check_sums(
    doc_ids: np.ndarray, sentence_lengths: np.ndarray, sentence_offsets: np.ndarray, offsets: np.ndarray
) -> None:
    """Refuse documents whose sentences do not add up to their tokens."""
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(sentence_lengths, dtype=np.int64)])
    sums = np.diff(running[sentence_offsets])
    faulty = np.nonzero(sums != np.diff(offsets))[0]
    if len(faulty):
        first = faulty[0]
        raise StoreError(
            f"document {doc_ids[first]:016x}: its sentences have {sums[first]} tokens, its row "
            f"{offsets[first + 1] - offsets[first]}; build the tokens again"
        )
