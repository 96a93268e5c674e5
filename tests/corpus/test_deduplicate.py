"""The first document of every cluster of equals is kept."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus.deduplicate import find_duplicates


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
