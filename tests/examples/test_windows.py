import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_core.examples.windows import cut_windows, heads, ranges


def test_windows_of_the_worked_case():
    windows = cut_windows(np.array([10, 3, 0]), 8)
    assert windows.rows.tolist() == [0, 0, 1, 2]
    assert windows.starts.tolist() == [0, 2, 0, 0]
    assert windows.ends.tolist() == [8, 10, 3, 0]
    assert windows.scored_starts.tolist() == [0, 5, 0, 0]
    assert windows.scored_ends.tolist() == [5, 10, 3, 0]


def test_each_text_may_have_a_room_and_a_stride_of_its_own():
    windows = cut_windows(np.array([10, 10]), np.array([8, 4]), np.array([1, 3]))
    assert windows.rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert windows.starts.tolist() == [0, 1, 2, 0, 3, 6]
    assert windows.ends.tolist() == [8, 9, 10, 4, 7, 10]
    assert windows.scored_starts.tolist() == [0, 5, 6, 0, 4, 7]
    assert windows.scored_ends.tolist() == [5, 6, 10, 4, 7, 10]


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(4, 30), st.integers(1, 30)), min_size=1, max_size=5),
    st.booleans(),
)
def test_each_token_is_scored_once_where_it_has_most_context(texts, by_default):
    lengths, rooms = [length for length, _, _ in texts], [room for _, room, _ in texts]
    strides = None if by_default else np.array([min(room, stride) for _, room, stride in texts])
    windows = cut_windows(np.array(lengths), np.array(rooms), strides)
    for text, (length, room) in enumerate(zip(lengths, rooms, strict=True)):
        mine = np.flatnonzero(windows.rows == text)
        spans = [(int(windows.starts[w]), int(windows.ends[w])) for w in mine]
        assert all(0 <= end - start <= room for start, end in spans)
        for token in range(length):
            context = [min(token - s, e - 1 - token) if s <= token < e else -1 for s, e in spans]
            at = [k for k, w in enumerate(mine) if windows.scored_starts[w] <= token < windows.scored_ends[w]]
            assert len(at) == 1
            assert context[at[0]] == max(context) >= 0


def test_heads_and_ranges_of_the_worked_cases():
    kept = heads(np.array([3, 9]), 5)
    assert (kept.rows.tolist(), kept.starts.tolist(), kept.ends.tolist()) == ([0, 1], [0, 0], [3, 5])
    assert ranges(np.array([5, 0]), np.array([2, 3])).tolist() == [5, 6, 0, 1, 2]
