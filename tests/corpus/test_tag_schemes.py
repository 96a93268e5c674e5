import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from bert_core.corpus.tag_schemes import from_bio, tag_names, to_bio, types_of_tags
from bert_core.corpus.tags import decode_bio

LABELS = ["nr", "ns"]


def test_tags_of_a_scheme_name_its_types():
    assert tag_names(["nr"], "bio") == ["O", "B-nr", "I-nr"]
    assert tag_names(["nr"], "bioes") == ["O", "B-nr", "I-nr", "E-nr", "S-nr"]
    assert types_of_tags(tag_names(LABELS, "bioes")) == LABELS == types_of_tags(tag_names(LABELS, "bio"))


def test_a_worked_case_is_rewritten():
    bio = np.array([1, 2, 2, 0, 3, 3, 4, -100, 1, 2])
    offsets = np.array([0, 5, 5, 9, 10])  # the last row begins inside an entity that no row above goes on with
    assert from_bio(bio, offsets, "bioes").tolist() == [1, 2, 3, 0, 8, 5, 7, -100, 4, 3]
    assert from_bio(bio, offsets, "bio").tolist() == bio.tolist()
    assert to_bio(np.array([3, 2, 3, 0, 4]), np.array([0, 5]), "bioes").tolist() == [1, 1, 2, 0, 1]


@given(rows=st.lists(st.lists(st.integers(0, 8), max_size=12), min_size=1, max_size=4))
def test_entities_of_any_bioes_tagging_are_those_of_seqeval(rows):
    names = tag_names(LABELS, "bioes")
    offsets = np.cumsum([0, *map(len, rows)])
    flat = np.array([tag for row in rows for tag in row], np.int64)
    found_rows, starts, ends, types = decode_bio(to_bio(flat, offsets, "bioes"), offsets)
    found = list(
        zip(found_rows.tolist(), starts.tolist(), ends.tolist(), [LABELS[kind] for kind in types], strict=True)
    )
    expected = [
        (index, start, last + 1, kind)
        for index, row in enumerate(rows)
        for kind, start, last in get_entities([names[tag] for tag in row])
    ]
    assert found == expected


@given(rows=st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=4))
def test_rewriting_keeps_the_entities(rows):
    offsets = np.cumsum([0, *map(len, rows)])
    flat = np.array([tag for row in rows for tag in row], np.int64)
    there = to_bio(from_bio(flat, offsets, "bioes"), offsets, "bioes")
    for one, other in zip(decode_bio(there, offsets), decode_bio(flat, offsets), strict=True):
        assert one.tolist() == other.tolist()
