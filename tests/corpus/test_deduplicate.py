"""The first document of every cluster of equals is kept."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus.deduplicate import find_duplicates, largest_clusters


def test_the_first_of_equals_is_kept():
    duplicates = find_duplicates(np.array([7, 8, 7, 7, 9, 8], np.uint64))
    assert duplicates.keep.tolist() == [True, True, False, False, True, False]
    assert (duplicates.num_clusters, duplicates.num_dropped) == (2, 3)


def test_no_rows_have_no_duplicates():
    duplicates = find_duplicates(np.zeros(0, np.uint64))
    assert (duplicates.keep.tolist(), duplicates.num_clusters, duplicates.num_dropped) == ([], 0, 0)


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=50))
def test_what_is_kept_is_the_ids_in_their_order(ids: list[int]):
    keep = find_duplicates(np.array(ids, np.uint64)).keep
    assert [number for number, kept in zip(ids, keep, strict=True) if kept] == list(dict.fromkeys(ids))


def test_clusters_are_named_by_size_and_then_by_place():
    kept_for = np.array([0, 0, 2, 3, 3, 3, 6, 6])
    rows, sizes = largest_clusters(kept_for, 2)
    assert (rows.tolist(), sizes.tolist()) == ([3, 0], [3, 2])
    assert find_duplicates(np.array([5, 9, 5], np.uint64)).kept_for.tolist() == [0, 1, 0]
    assert [part.tolist() for part in largest_clusters(np.arange(0), 2)] == [[], []]
