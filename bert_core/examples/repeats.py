"""How many of a stream of 64-bit digests repeat an earlier one, in memory that does not grow with the stream.

Digests are laid aside in a temporary file; what counts them reads those of one range of values at a time.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from bert_core.examples.token_documents import num_distinct

MAX_AT_ONCE = 1 << 20
"""Digests that are sorted at once, about; 8 bytes each."""


class DigestStream:
    """Digests in the order in which they came."""

    def __init__(self, file: "tempfile._TemporaryFileWrapper[bytes]") -> None:
        self._file = file
        self.num_digests = 0
        """How many were added."""

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["DigestStream"]:
        """Open an empty stream; its file is gone when the block ends."""
        with tempfile.TemporaryFile() as file:
            yield cls(file)  # type: ignore[arg-type]

    def add(self, digests: np.ndarray) -> None:
        """Add digests, uint64 (num_digests,)."""
        self._file.write(np.ascontiguousarray(digests, np.uint64).data)
        self.num_digests += len(digests)

    def num_repeated(self) -> int:
        """Count the digests that are equal to an earlier one. Example: 7, 8, 7, 7 -> 2."""
        num_ranges = 1 << max(0, (self.num_digests - 1) // MAX_AT_ONCE).bit_length()
        shift = np.uint64(64 - num_ranges.bit_length() + 1) if num_ranges > 1 else None
        repeated = 0
        for number in range(num_ranges):
            parts = [
                block if shift is None else block[(block >> shift) == np.uint64(number)] for block in self._blocks()
            ]
            mine = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
            repeated += len(mine) - num_distinct(mine)
        return repeated

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yield the digests, MAX_AT_ONCE at a time."""
        self._file.flush()
        self._file.seek(0)
        while block := self._file.read(8 * MAX_AT_ONCE):
            yield np.frombuffer(block, np.uint64)
        self._file.seek(0, 2)
