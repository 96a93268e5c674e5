"""Tags: worked cases, and seqeval as the oracle of decoding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from bert_core.corpus.tags import bio_tags, bio_to_spans, decode_bio, spans_to_bio

LABELS = ["nr", "ns", "nt"]
TAGS = bio_tags(LABELS)


def tag_one_text(tokens, spans):
    """Tag one text; tokens are (start, end), spans are (start, end, type)."""
    starts, ends = np.array([t[0] for t in tokens], int), np.array([t[1] for t in tokens], int)
    first, last, types = np.array(spans, int).reshape(-1, 3).T
    tags, misaligned = spans_to_bio(
        starts, ends, np.array([0, len(tokens)]), first, last, types, np.array([0, len(spans)])
    )
    return [TAGS[tag] for tag in tags], misaligned.tolist()


def test_tags_are_outside_then_begin_and_inside_of_each_label():
    assert TAGS == ["O", "B-nr", "I-nr", "B-ns", "I-ns", "B-nt", "I-nt"]
    assert bio_tags([]) == ["O"]


@pytest.mark.parametrize(
    ("tokens", "spans", "tags", "misaligned"),
    [
        pytest.param([(0, 1), (1, 2), (2, 4)], [(1, 4, 0)], ["O", "B-nr", "I-nr"], [False], id="aligned"),
        pytest.param([(0, 1), (1, 2)], [], ["O", "O"], [], id="no spans"),
        pytest.param([], [(0, 2, 1)], [], [True], id="no tokens"),
        pytest.param(
            [(0, 1), (1, 2)],
            [(0, 1, 1), (1, 2, 1)],
            ["B-ns", "B-ns"],
            [False, False],
            id="adjacent of one type",
        ),
        pytest.param([(0, 4), (4, 5)], [(2, 5, 0)], ["B-nr", "I-nr"], [True], id="starts inside a token"),
        pytest.param([(0, 1), (1, 5)], [(0, 3, 2)], ["B-nt", "I-nt"], [True], id="ends inside a token"),
        pytest.param([(0, 4)], [(0, 2, 0), (2, 4, 1)], ["B-nr"], [True, True], id="two spans in one token"),
        pytest.param([(0, 1), (3, 4)], [(1, 3, 0)], ["O", "O"], [True], id="span without a token"),
        pytest.param([(0, 1), (2, 3)], [(0, 3, 0)], ["B-nr", "I-nr"], [False], id="a space inside the span"),
        pytest.param([(0, 2), (2, 3)], [(1, 2, 0), (2, 3, 1)], ["B-nr", "B-ns"], [True, False], id="one of two"),
    ],
)
def test_spans_become_tags(tokens, spans, tags, misaligned):
    assert tag_one_text(tokens, spans) == (tags, misaligned)


def test_spans_of_one_text_never_tag_the_next():
    """Two texts of three one-character tokens; the span of the first reaches its end, the second has none."""
    starts, ends = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 3, 1, 2, 3])
    tags, misaligned = spans_to_bio(
        starts, ends, np.array([0, 3, 6]), np.array([1]), np.array([3]), np.array([0]), np.array([0, 1, 1])
    )
    assert tags.tolist() == [0, 1, 2, 0, 0, 0]
    assert misaligned.tolist() == [False]


@given(st.lists(st.integers(0, len(TAGS) - 1), max_size=40))
def test_decoding_equals_seqeval(tag_ids):
    expected = [(start, end + 1, kind) for kind, start, end in get_entities([TAGS[i] for i in tag_ids])]
    assert bio_to_spans(tag_ids, LABELS) == expected


@given(st.lists(st.lists(st.integers(-1, len(TAGS) - 1), max_size=12), max_size=6))
def test_decoding_a_batch_equals_decoding_each_row(rows):
    offsets = np.cumsum([0] + [len(row) for row in rows])
    flat = np.array([tag for row in rows for tag in row], int)
    found = [
        (row, start, end, LABELS[kind])
        for row, start, end, kind in zip(*(a.tolist() for a in decode_bio(flat, offsets)), strict=True)
    ]
    assert found == [(i, *span) for i, row in enumerate(rows) for span in bio_to_spans(row, LABELS)]


def test_tags_that_are_not_scored_break_an_entity():
    assert bio_to_spans([1, -100, 2], LABELS) == [(0, 1, "nr"), (2, 3, "nr")]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 2)), max_size=6))
def test_tagging_then_decoding_gives_the_spans_back(gaps):
    """Spans drawn as (gap before, length, type) over one-character tokens."""
    spans, at = [], 0
    for gap, length, kind in gaps:
        spans.append((at + gap, at + gap + length, kind))
        at += gap + length
    tags, misaligned = tag_one_text([(i, i + 1) for i in range(at + 1)], spans)
    assert not any(misaligned)
    assert bio_to_spans([TAGS.index(tag) for tag in tags], LABELS) == [(s, e, LABELS[k]) for s, e, k in spans]
