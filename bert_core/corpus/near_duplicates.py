"""Near duplicates among the rows of document tables: signatures of all, then the text of those that share a band.

Bands lie in a temporary file (112 bytes a document) and texts are read from mapped shards, so memory grows by 24 bytes
a document. What is a candidate is decided by `minhash.py`, which row is kept by `deduplicate.py`.
"""

import tempfile
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from bert_core.corpus.clean import normalise
from bert_core.corpus.deduplicate import find_near_duplicates
from bert_core.progress import Progress, silent

_ROWS_AT_ONCE = 1024
_SHINGLES_KEPT = 64


def near_duplicates_of(
    tables: Sequence[pa.Table], rows: np.ndarray, similarity: float, progress: Progress = silent
) -> np.ndarray:
    """Find the rows that are near duplicates of an earlier one.

    Args:
        tables: documents in the order of the corpus.
        rows: those to look at, counted through all tables, ascending int64.
        similarity: Jaccard index of their shingles from which two documents are near duplicates, 0 to 1.
        progress: told rows.

    Returns:
        For each place in `rows` the place of the row kept for it, itself where it is kept, int64 (len(rows),).
    """
    from bert_core.corpus.minhash import NUM_BANDS, bands, jaccard, shingles

    texts = pa.chunked_array([chunk for table in tables for chunk in table["text"].chunks], pa.string())

    @lru_cache(_SHINGLES_KEPT)
    def shingles_of(place: int) -> np.ndarray:
        return shingles(normalise(texts[int(rows[place])].as_py()))

    def are_similar(earlier: int, later: int) -> bool:
        return jaccard(shingles_of(earlier), shingles_of(later)) >= similarity

    if not len(rows):
        return np.zeros(0, np.int64)
    with tempfile.TemporaryFile() as file:
        file.truncate(len(rows) * NUM_BANDS * 8)
        found = np.memmap(file, np.uint64, "r+", shape=(len(rows), NUM_BANDS))
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            stop = min(first + _ROWS_AT_ONCE, len(rows))
            for place in range(first, stop):
                found[place] = bands(normalise(texts[int(rows[place])].as_py()))
            progress(stop, len(rows), "rows")
        return find_near_duplicates(found, are_similar)
