"""Entities: names of several words, overlaps, and spans that follow their characters through cleaning."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.config import CorpusConfig
from bert_core.corpus.clean import clean
from bert_core.corpus.entities import clean_with_spans, name_lengths, spans_of_words, without_overlaps

TYPES = frozenset(["nr", "ns", "nt"])


def like_a_corpus(text):
    return clean(text, CorpusConfig(paths=["-"]))[0]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("王 小明", ["王小明"]),
        ("王 明", ["王明"]),
        ("王 小明 李 明", ["王小明", "李明"]),
        ("王 明 李 明 赵 小兰 钱 多", ["王明", "李明", "赵小兰", "钱多"]),
        ("欧阳 小兰", ["欧阳小兰"]),
        ("诸葛 明 王 小明", ["诸葛明", "王小明"]),
        ("王 李 小兰", ["王李小兰"]),
        ("彼得 约翰", ["彼得", "约翰"]),
        ("彼得 王 小明", ["彼得", "王小明"]),
        ("王 小明 小兰", ["王小明", "小兰"]),
        ("王", ["王"]),
        ("小明 王", ["小明", "王"]),
    ],
)
def test_person_words_are_joined_into_names(words, names):
    pieces, at = words.split(), 0
    found = []
    for length in name_lengths(pieces):
        found.append("".join(pieces[at : at + length]))
        at += length
    assert found == names


def test_only_person_words_are_joined():
    words = ["江北省", "江南县", "的", "王", "小明", "李", "明", "在", "甲部", "乙部"]
    tags = ["ns", "ns", "u", "nr", "nr", "nr", "nr", "p", "nt", "nt"]
    text = "".join(words)
    spans = spans_of_words(words, tags, TYPES)
    assert [(text[start:end], kind) for start, end, kind in spans] == [
        ("江北省", "ns"),
        ("江南县", "ns"),
        ("王小明", "nr"),
        ("李明", "nr"),
        ("甲部", "nt"),
        ("乙部", "nt"),
    ]


def test_tags_outside_the_task_are_no_entities_and_part_names():
    assert spans_of_words(["王", "小明"], ["nr", "nr"], frozenset(["ns"])) == []
    assert spans_of_words(["王", "和", "小明"], ["nr", "c", "nr"], TYPES) == [(0, 1, "nr"), (2, 4, "nr")]


@pytest.mark.parametrize(
    ("spans", "kept"),
    [
        ([(5, 6, "a"), (0, 2, "b")], [(0, 2, "b"), (5, 6, "a")]),
        ([(0, 2, "a"), (0, 4, "b")], [(0, 4, "b")]),
        ([(0, 3, "a"), (2, 5, "b"), (5, 6, "c")], [(0, 3, "a"), (5, 6, "c")]),
        ([(0, 2, "a"), (0, 2, "a")], [(0, 2, "a")]),
        ([], []),
    ],
    ids=["order", "nested", "crossing", "twice", "none"],
)
def test_the_longest_of_overlapping_spans_stays(spans, kept):
    assert without_overlaps(spans) == kept


@pytest.mark.parametrize(
    ("text", "surface", "cleaned", "moved"),
    [
        ("在１２月，王明来", "王明", "在12月，王明来", "王明"),
        ("  在  北京  城 ", "北京", "在 北京 城", "北京"),
        ("a <b>Zoe\u0301</b> x", "Zoe\u0301", "a Zoé x", "Zoé"),
        ("\u3000Ａ１公司", "Ａ１公司", "A1公司", "A1公司"),
        ("在 王明 ", "王明 ", "在 王明", "王明"),
    ],
    ids=["half-width", "spaces", "composed", "both", "a space at its end"],
)
def test_spans_follow_their_characters_through_cleaning(text, surface, cleaned, moved):
    start = text.index(surface)
    found = clean_with_spans(text, [(start, start + len(surface), "x")], like_a_corpus)
    assert found is not None
    assert found[0] == cleaned
    ((first, last, kind),) = found[1]
    assert (cleaned[first:last], kind) == (moved, "x")


@pytest.mark.parametrize(
    ("text", "span"), [("e\u0301a", (0, 1)), ("王  明", (1, 3))], ids=["divides a character", "spaces alone"]
)
def test_a_span_without_a_place_in_the_clean_text_is_refused(text, span):
    assert clean_with_spans(text, [(*span, "x")], like_a_corpus) is None


@given(st.lists(st.tuples(st.text("王１Ａ　 \u0301e\u200bx。<b>", max_size=5), st.booleans()), max_size=6))
def test_a_span_that_is_kept_covers_the_clean_form_of_what_it_covered(pieces):
    text, spans = "", []
    for piece, is_entity in pieces:
        if is_entity and piece:
            spans.append((len(text), len(text) + len(piece), "x"))
        text += piece
    found = clean_with_spans(text, spans, like_a_corpus)
    if found is None:
        return
    cleaned, moved = found
    assert cleaned == like_a_corpus(text)
    for (start, end, _), (first, last, _) in zip(spans, moved, strict=True):
        assert 0 <= first < last <= len(cleaned)
        inside = unicodedata.normalize("NFC", text[start:end])
        assert cleaned[first:last] == like_a_corpus(inside)
