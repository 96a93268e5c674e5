"""Duplicates: documents of equal normalised text, found by their 64-bit ids, and near duplicates, by MinHash.

The first document of a cluster in the order of the corpus is kept, so the result does not depend on how the work was
cut into slices. A near duplicate is left out for one document that is kept and as similar as asked; likeness is not
passed on from one document that is left out to the next. Paraphrases and quoted paragraphs are left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Which rows of a corpus stay."""

    keep: np.ndarray
    """True for the first row of each id, bool shape (num_rows,)."""
    num_clusters: int
    """Ids that more than one row has."""
    kept_for: np.ndarray
    """The row kept in the place of each row, itself where it is kept, int64 (num_rows,)."""

    @property
    def num_dropped(self) -> int:
        """Rows that repeat an earlier one."""
        return int(len(self.keep) - self.keep.sum())


def find_duplicates(doc_ids: np.ndarray) -> Duplicates:
    """Find the rows that repeat an earlier one.

    Example: ids `[7, 8, 7, 7]` -> keep `[True, True, False, False]`, one cluster, two dropped.

    Args:
        doc_ids: `document_id` of each row in stable order, uint64 shape (num_rows,).
    """
    _, first, cluster, sizes = np.unique(doc_ids, return_index=True, return_inverse=True, return_counts=True)
    keep = np.zeros(len(doc_ids), bool)
    keep[first] = True
    return Duplicates(keep, int((sizes > 1).sum()), first[cluster].astype(np.int64))


def find_near_duplicates(bands: np.ndarray, are_similar: Callable[[int, int], bool]) -> np.ndarray:
    """Find the rows that are similar to an earlier one that is kept.

    Rows that share a band are candidates: each is compared with the first row of the band and with the one before it,
    or rather with the row kept for that one. One band is in memory at once.

    Example: with rows 0, 1 and 2 in one band, and 1 similar to 0 alone, the answer is `[0, 0, 2]`.

    Args:
        bands: `minhash.bands` of each row in stable order, uint64 (num_rows, num_bands); may be a mapped file.
        are_similar: says of two rows, the earlier one first, whether they are near duplicates.

    Returns:
        For each row the row kept in its place, itself where it is kept, int64 (num_rows,).
    """
    kept_for = np.arange(len(bands), dtype=np.int64)
    pairs = [np.zeros((0, 2), np.int64)]
    for band in range(bands.shape[1]):
        column = np.array(bands[:, band])
        order = np.argsort(column, kind="stable")
        repeats = np.flatnonzero(column[order[1:]] == column[order[:-1]]) + 1
        is_first = np.ones(len(order), bool)
        is_first[repeats] = False
        first = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
        for earlier in (first[repeats], repeats - 1):
            pairs.append(np.stack([order[repeats], order[earlier]], axis=1))
    for row, earlier in np.unique(np.concatenate(pairs), axis=0).tolist():
        kept = int(kept_for[earlier])
        if kept_for[row] == row and are_similar(kept, row):
            kept_for[row] = kept
    return kept_for


def largest_clusters(kept_for: np.ndarray, num_wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that are kept for the most rows, and for how many, themselves included.

    Example: `[0, 0, 2, 3, 3, 3]` -> rows `[3, 0]`, sizes `[3, 2]`; of equal sizes the earlier row comes first.
    """
    sizes = np.bincount(kept_for, minlength=len(kept_for))
    rows = np.flatnonzero(sizes > 1)
    rows = rows[np.argsort(-sizes[rows], kind="stable")][:num_wanted]
    return rows, sizes[rows]
