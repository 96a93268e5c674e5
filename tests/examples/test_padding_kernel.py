"""Padding: a worked batch with its whole expected result, and the plain rule beside the loop on random batches."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.examples.padding_kernel import pad_examples


def test_a_pair_and_a_single_sentence_are_padded_to_one_width() -> None:
    input_ids = np.array([2, 7, 3, 8, 9, 3, 2, 6, 3], np.int32)
    masked_ids = np.array([2, 4, 3, 8, 4, 3, 2, 5, 3], np.int32)
    is_target = np.array([0, 1, 0, 0, 1, 0, 0, 1, 0], np.uint8)
    ids, segments, places, true_ids = pad_examples(
        input_ids, masked_ids, is_target, np.array([0, 6, 9]), np.array([1, 1], np.int32), 8, 0
    )
    assert ids.tolist() == [[2, 4, 3, 8, 4, 3, 0, 0], [2, 5, 3, 0, 0, 0, 0, 0]]
    assert segments.tolist() == [[0, 0, 0, 1, 1, 1, 0, 0], [0] * 8]
    assert places.tolist() == [1, 4, 9]
    assert true_ids.tolist() == [7, 9, 6]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(3, 9), st.integers(1, 6)), min_size=1, max_size=6), st.integers(0, 3), st.data())
def test_the_loop_does_what_indexing_says(sizes: list[tuple[int, int]], spare: int, data: st.DataObject) -> None:
    lengths = np.array([length for length, _ in sizes])
    length_a = np.array([min(wanted, length - 2) for length, wanted in sizes], np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    num_tokens, width = int(offsets[-1]), int(lengths.max()) + spare
    input_ids, masked_ids = np.arange(10, 10 + num_tokens, dtype=np.int32), np.arange(-num_tokens, 0, dtype=np.int32)
    is_target = np.array(data.draw(st.lists(st.integers(0, 1), min_size=num_tokens, max_size=num_tokens)), np.uint8)
    ids, segments, places, true_ids = pad_examples(input_ids, masked_ids, is_target, offsets, length_a, width, 99)
    columns = np.arange(width)
    is_token = columns < lengths[:, None]
    expected = np.full((len(sizes), width), 99)
    expected[is_token] = masked_ids
    assert np.array_equal(ids, expected)
    assert np.array_equal(segments, is_token & (columns >= length_a[:, None] + 2))
    assert np.array_equal(places, np.flatnonzero(is_token.ravel())[is_target == 1])
    assert np.array_equal(true_ids, input_ids[is_target == 1])
