"""Random access to pretraining examples: rows gathered straight from memory-mapped shards.

A shard is one file of bytes, and every record batch in it says where its buffers lie. `ExampleSet` keeps these places
(some numbers for each 4,096 rows) and gathers the rows of a batch in compiled loops, so that opening a set costs
nothing that grows with the text, and reading costs no Python for each row. What was written is trusted here: digests
are checked when a sealed output is opened, not at every read.

An example's id is not stored: it is a digest of the corpus and of the places of both sides in it, so equal rows have
equal ids wherever they lie. Nor are words where no segmenter found them: they begin at each token but `##` pieces, and
where a side begins.

Nothing is masked, padded or shuffled here; `masking.py` and `training` do that.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from bert_core.errors import StoreError
from bert_core.examples.sources import CONTINUATIONS, CORPUS_KEY, Sources
from bert_core.store.schemas import NO_PAIR
from bert_core.store.shards import shard_paths


@dataclass(frozen=True)
class RaggedExamples:
    """Examples of a batch one after the other, unmasked and unpadded."""

    example_ids: np.ndarray
    """uint64, shape (num_examples,)."""
    input_ids: np.ndarray
    """`[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]` of all examples, int32, shape (num_tokens,)."""
    offsets: np.ndarray
    """First token of each example and the end, int64, shape (num_examples + 1,)."""
    length_a: np.ndarray
    """Tokens of A; segment 0 is the first length_a + 2 tokens, int32, shape (num_examples,)."""
    next_sentence_labels: np.ndarray
    """0 = B follows A, 1 = B is random, -100 = no pair, int32, shape (num_examples,)."""
    word_starts: np.ndarray
    """1 where a word begins, uint8, shape (num_tokens,)."""
    entity_starts: np.ndarray
    """First token of each entity, counted from its example's first token, int32, shape (num_entities,)."""
    entity_lengths: np.ndarray
    """Tokens of each entity, int32, shape (num_entities,)."""
    entity_offsets: np.ndarray
    """First entity of each example and the end, int64, shape (num_examples + 1,)."""


@dataclass(frozen=True)
class _Shard:
    """One memory-mapped file: its bytes in the widths that the loops read, and where its batches' buffers lie."""

    buffer: pa.Buffer
    """Keeps the mapping alive."""
    tokens: np.ndarray
    """The file as an array of token ids (uint16 or uint32)."""
    firsts: np.ndarray
    """The file as an array of places in the corpus (uint32 or uint64)."""
    places: np.ndarray
    """For each record batch, where its columns' buffers begin, in items; int64, shape (num_batches, num_places)."""
    first_rows: np.ndarray
    """First row of each record batch and the end, int64, shape (num_batches + 1,)."""
    rounds: np.ndarray
    """Pairing round of each row, uint8."""
    corpus_key: np.uint64
    """Tells the examples of one corpus from those of another."""
    continuation_entries: np.ndarray
    """1 for `##` pieces, uint8, by id."""

    def view(self, dtype: type[np.generic]) -> np.ndarray:
        """Return the whole file as an array of `dtype`; bytes behind the last whole item are left out."""
        itemsize = np.dtype(dtype).itemsize
        return np.frombuffer(self.buffer, dtype, count=self.buffer.size // itemsize)

    @classmethod
    def open(cls, path: Path) -> "_Shard":
        """Memory-map a shard and note the places of its buffers."""
        from bert_core.examples import reader_kernels

        try:
            with pa.memory_map(str(path)) as source:
                buffer = source.read_buffer()
            with pa.ipc.open_stream(buffer) as reader:
                schema, batches = reader.schema, list(reader)
            token_bytes = schema.field("input_ids").type.value_type.bit_width // 8
            first_bytes = schema.field("first_a").type.bit_width // 8
            corpus_key, bits = (schema.metadata[name] for name in (CORPUS_KEY, CONTINUATIONS))
        except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: not a readable shard of examples ({error}); build the stage again") from error

        def place_of(part: pa.Buffer | None, itemsize: int) -> int:
            return (part.address - buffer.address) // itemsize if part is not None and part.size else 0

        places = []
        for batch in batches:
            input_ids = batch.column("input_ids")
            line = [
                place_of(batch.column("length_a").buffers()[1], 2),
                place_of(batch.column("next_sentence_label").buffers()[1], 1),
                place_of(batch.column("round").buffers()[1], 1),
                place_of(batch.column("first_a").buffers()[1], first_bytes),
                place_of(batch.column("first_b").buffers()[1], first_bytes),
                place_of(input_ids.buffers()[1], 4),
                place_of(input_ids.values.buffers()[1], token_bytes),
                *[reader_kernels.ABSENT] * 4,
            ]
            if "word_starts" in schema.names:
                line[7] = place_of(batch.column("word_starts").values.buffers()[1], 1)
            if "entity_starts" in schema.names:
                starts, lengths = batch.column("entity_starts"), batch.column("entity_lengths")
                line[8] = place_of(starts.buffers()[1], 4)
                line[9:] = [place_of(column.values.buffers()[1], 2) for column in (starts, lengths)]
            places.append(line)
        rounds = [batch.column("round").to_numpy() for batch in batches]
        return cls(
            buffer=buffer,
            tokens=np.frombuffer(buffer, np.dtype(f"u{token_bytes}"), count=buffer.size // token_bytes),
            firsts=np.frombuffer(buffer, np.dtype(f"u{first_bytes}"), count=buffer.size // first_bytes),
            places=np.array(places, np.int64).reshape(len(batches), reader_kernels.NUM_PLACES),
            first_rows=np.cumsum([0] + [batch.num_rows for batch in batches]).astype(np.int64),
            rounds=np.concatenate([np.zeros(0, np.uint8), *rounds]),
            corpus_key=np.uint64(int(corpus_key)),
            continuation_entries=np.unpackbits(
                np.frombuffer(bytes.fromhex(bits.decode()), np.uint8), bitorder="little"
            ),
        )


class ExampleSet:
    """The examples of one name (`train` or `held_out`) in a folder, memory-mapped."""

    def __init__(self, shards: list[_Shard], folder: Path) -> None:
        from bert_core.examples import reader_kernels

        self._shards, self._folder = shards, folder
        self._first_rows = np.cumsum([0] + [int(shard.first_rows[-1]) for shard in shards])
        sizes = [reader_kernels.sizes_of(shard.view(np.int32), shard.places, shard.first_rows) for shard in shards]
        self.lengths: np.ndarray = np.concatenate([lengths for lengths, _ in sizes])
        """Tokens of each example with its special tokens, int64, shape (num_examples,)."""
        self._num_entities: np.ndarray = np.concatenate([entities for _, entities in sizes])
        self._round_of_row = rounds = np.concatenate([shard.rounds for shard in shards])
        if np.any(rounds[1:] < rounds[:-1]):
            raise StoreError("examples are not ordered by round; build the stage again")
        self.rounds: int = int(rounds[-1]) + 1 if len(rounds) else 0
        """Pairing rounds that the set holds, 0 where it is empty."""
        self._round_bounds = np.searchsorted(rounds, np.arange(self.rounds + 1))

    @classmethod
    def open(cls, folder: Path, name: str) -> "ExampleSet":
        """Memory-map the shards of `name` (`train` or `held_out`) in `folder`.

        Raises:
            StoreError: shards are missing or not readable.
        """
        return cls([_Shard.open(path) for path in shard_paths(folder, name)], folder)

    @property
    def corpus_key(self) -> np.uint64:
        """What the ids of examples begin with; another number for another corpus."""
        return self._shards[0].corpus_key

    @property
    def num_examples(self) -> int:
        """Number of examples over all rounds."""
        return int(self._first_rows[-1])

    def rows_of_round(self, round_: int) -> np.ndarray:
        """Return the rows of one pairing round, ascending, int64."""
        return np.arange(self._round_bounds[round_], self._round_bounds[round_ + 1], dtype=np.int64)

    def sources(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Say where examples come from.

        Returns:
            Of the rows asked for: doc_id_a, doc_id_b, the documents of A and B, equal where there is no pair; token_a,
            token_b, the first tokens of A and B in their documents, -1 where there is no pair; and round.
        """
        rows = np.asarray(indices, np.int64)
        _, first_a, first_b, labels = self._gather(rows)
        doc_a, doc_b = (self._sources.documents_of(first) for first in (first_a, first_b))
        starts = self._sources.first_tokens
        return {
            "doc_id_a": self._sources.doc_ids[doc_a],
            "doc_id_b": self._sources.doc_ids[doc_b],
            "token_a": first_a - starts[doc_a],
            "token_b": np.where(labels != NO_PAIR, first_b - starts[doc_b], -1),
            "round": self._round_of_row[rows].astype(np.int64),
        }

    @cached_property
    def _sources(self) -> Sources:
        return Sources.read(self._folder)

    def take(self, indices: np.ndarray) -> RaggedExamples:
        """Gather examples in the order asked for.

        Args:
            indices: rows, integers in [0, num_examples), shape (num_examples_taken,); repeats are fine.

        Returns:
            The examples, copied out of the shards.

        Raises:
            IndexError: a row is outside the set.
        """
        return self._gather(np.asarray(indices, np.int64))[0]

    def _gather(self, rows: np.ndarray) -> tuple[RaggedExamples, np.ndarray, np.ndarray, np.ndarray]:
        """Return examples, the places in the corpus of A and B (int64), and the labels."""
        from bert_core.examples import reader_kernels

        if len(rows) and (rows.min() < 0 or rows.max() >= self.num_examples):
            raise IndexError(f"rows {rows.min()} to {rows.max()}, expected 0 to {self.num_examples - 1}")
        taken = _empty_examples(self.lengths[rows], self._num_entities[rows])
        first_a, first_b = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        shard_of_row = np.searchsorted(self._first_rows, rows, side="right") - 1
        for number in np.unique(shard_of_row):
            shard = self._shards[number]
            targets = np.nonzero(shard_of_row == number)[0]
            reader_kernels.gather(
                shard.view(np.uint8),
                shard.view(np.uint16),
                shard.view(np.int32),
                shard.tokens,
                shard.firsts,
                shard.places,
                shard.first_rows,
                shard.corpus_key,
                shard.continuation_entries,
                rows[targets] - self._first_rows[number],
                targets,
                taken.offsets,
                taken.entity_offsets,
                taken.example_ids,
                first_a,
                first_b,
                taken.length_a,
                taken.next_sentence_labels,
                taken.input_ids,
                taken.word_starts,
                taken.entity_starts,
                taken.entity_lengths,
            )
        return taken, first_a, first_b, taken.next_sentence_labels


def _empty_examples(lengths: np.ndarray, num_entities: np.ndarray) -> RaggedExamples:
    """Lay out room for examples of these sizes."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    entity_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(num_entities)])
    return RaggedExamples(
        example_ids=np.empty(len(lengths), np.uint64),
        input_ids=np.empty(offsets[-1], np.int32),
        offsets=offsets,
        length_a=np.empty(len(lengths), np.int32),
        next_sentence_labels=np.empty(len(lengths), np.int32),
        word_starts=np.empty(offsets[-1], np.uint8),
        entity_starts=np.empty(entity_offsets[-1], np.int32),
        entity_lengths=np.empty(entity_offsets[-1], np.int32),
        entity_offsets=entity_offsets,
    )
