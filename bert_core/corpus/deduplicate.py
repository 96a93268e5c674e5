"""Exact duplicates: documents whose normalised texts are equal, found by their 64-bit ids.

The first document of a cluster in the order of the corpus is kept, so the result does not depend on how
the work was cut into slices. Near duplicates (a changed word, a quoted paragraph) are left alone.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Which rows of a corpus stay."""

    keep: np.ndarray
    """True for the first row of each id, bool shape (num_rows,)."""
    num_clusters: int
    """Ids that more than one row has."""

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
    _, first, sizes = np.unique(doc_ids, return_index=True, return_counts=True)
    keep = np.zeros(len(doc_ids), bool)
    keep[first] = True
    return Duplicates(keep, int((sizes > 1).sum()))
