"""Random access to pretraining examples: rows gathered straight from memory-mapped shards.

A shard is one file of bytes, and every record batch in it says where its buffers lie. `ExampleSet` keeps these places
(some numbers for each 4,096 rows) and gathers the rows of a batch in compiled loops, so that opening a set costs
nothing that grows with the text, and reading costs no Python for each row. What was written is trusted here: digests
are checked when a sealed output is opened, not at every read.

Nothing is masked, padded or shuffled here; `masking.py` and `training` do that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bert_core.errors import StoreError
from bert_core.store.shards import shard_paths

_SOURCES = ("doc_id_a", "doc_id_b", "token_a", "token_b", "round")
_LISTS = ("input_ids", "word_starts", "entity_starts", "entity_lengths")


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
    places: np.ndarray
    """For each record batch, where its columns' buffers begin, in items; int64, shape (num_batches, num_places)."""
    first_rows: np.ndarray
    """First row of each record batch and the end, int64, shape (num_batches + 1,)."""
    sources: pa.Table
    """Where each row's A and B come from, and its pairing round."""

    def view(self, dtype: type[np.generic]) -> np.ndarray:
        """Return the whole file as an array of `dtype`; bytes behind the last whole item are left out."""
        itemsize = np.dtype(dtype).itemsize
        return np.frombuffer(self.buffer, dtype, count=self.buffer.size // itemsize)

    @classmethod
    def open(cls, path: Path) -> "_Shard":
        """Memory-map a shard and note the places of its buffers."""
        try:
            with pa.memory_map(str(path)) as source:
                buffer = source.read_buffer()
            with pa.ipc.open_stream(buffer) as reader:
                token_bytes = reader.schema.field("input_ids").type.value_type.bit_width // 8
                batches = list(reader)
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise StoreError(f"{path}: not a readable shard of examples ({error}); build the stage again") from error

        def place_of(part: pa.Buffer | None, itemsize: int) -> int:
            return (part.address - buffer.address) // itemsize if part is not None and part.size else 0

        places = []
        for batch in batches:
            input_ids, word_starts, entity_starts, entity_lengths = (batch.column(name) for name in _LISTS)
            places.append(
                [
                    place_of(batch.column("example_id").buffers()[1], 8),
                    place_of(batch.column("length_a").buffers()[1], 4),
                    place_of(batch.column("next_sentence_label").buffers()[1], 4),
                    place_of(input_ids.buffers()[1], 4),
                    place_of(input_ids.values.buffers()[1], token_bytes),
                    place_of(word_starts.values.buffers()[1], 1),
                    place_of(entity_starts.buffers()[1], 4),
                    place_of(entity_starts.values.buffers()[1], 4),
                    place_of(entity_lengths.values.buffers()[1], 4),
                ]
            )
        return cls(
            buffer=buffer,
            tokens=np.frombuffer(buffer, np.dtype(f"u{token_bytes}"), count=buffer.size // token_bytes),
            places=np.array(places, np.int64).reshape(len(batches), 9),
            first_rows=np.cumsum([0] + [batch.num_rows for batch in batches]).astype(np.int64),
            sources=pa.Table.from_batches(batches, reader.schema).select(list(_SOURCES)),
        )


class ExampleSet:
    """The examples of one name (`train` or `held_out`) in a folder, memory-mapped."""

    def __init__(self, shards: list[_Shard]) -> None:
        from bert_core.examples import reader_kernels

        self._shards = shards
        self._first_rows = np.cumsum([0] + [int(shard.first_rows[-1]) for shard in shards])
        sizes = [reader_kernels.sizes_of(shard.view(np.int32), shard.places, shard.first_rows) for shard in shards]
        self.lengths: np.ndarray = np.concatenate([lengths for lengths, _ in sizes])
        """Tokens of each example with its special tokens, int64, shape (num_examples,)."""
        self._num_entities: np.ndarray = np.concatenate([entities for _, entities in sizes])
        self._sources = pa.concat_tables([shard.sources for shard in shards])
        rounds = self._sources.column("round").to_numpy()
        if np.any(np.diff(rounds) < 0):
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
        return cls([_Shard.open(path) for path in shard_paths(folder, name)])

    @property
    def num_examples(self) -> int:
        """Number of examples over all rounds."""
        return int(self._first_rows[-1])

    def rows_of_round(self, round_: int) -> np.ndarray:
        """Return the rows of one pairing round, ascending, int64."""
        return np.arange(self._round_bounds[round_], self._round_bounds[round_ + 1], dtype=np.int64)

    def sources(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Say where examples come from: doc_id_a, doc_id_b, token_a, token_b and round of the rows asked for."""
        taken = self._sources.take(pa.array(np.asarray(indices, np.int64)))
        return {name: taken.column(name).to_numpy() for name in _SOURCES}

    def take(self, indices: np.ndarray) -> RaggedExamples:
        """Gather examples in the order asked for.

        Args:
            indices: rows, integers in [0, num_examples), shape (num_examples_taken,); repeats are fine.

        Returns:
            The examples, copied out of the shards.

        Raises:
            IndexError: a row is outside the set.
        """
        from bert_core.examples import reader_kernels

        rows = np.asarray(indices, np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= self.num_examples):
            raise IndexError(f"rows {rows.min()} to {rows.max()}, expected 0 to {self.num_examples - 1}")
        taken = _empty_examples(self.lengths[rows], self._num_entities[rows])
        shard_of_row = np.searchsorted(self._first_rows, rows, side="right") - 1
        for number in np.unique(shard_of_row):
            shard = self._shards[number]
            targets = np.nonzero(shard_of_row == number)[0]
            reader_kernels.gather(
                shard.view(np.uint64),
                shard.view(np.int32),
                shard.view(np.uint8),
                shard.tokens,
                shard.places,
                shard.first_rows,
                rows[targets] - self._first_rows[number],
                targets,
                taken.offsets,
                taken.entity_offsets,
                taken.example_ids,
                taken.length_a,
                taken.next_sentence_labels,
                taken.input_ids,
                taken.word_starts,
                taken.entity_starts,
                taken.entity_lengths,
            )
        return taken


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
