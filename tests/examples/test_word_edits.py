"""Words changed in a text: worked cases, and protected spans that keep their text under every operation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.examples.word_edits import OPERATIONS, Edit, Words, apply_edits, find_words
from bert_core.randomness import key_of

SYNONYMS = {"老师": ("先生", "教师"), "喜欢": ("喜爱",), "good": ("nice",), "我们": ("咱们",), "很好": ("极好",)}


def words_of(text: str, *spans: tuple[int, int], segmenter: str = "rjieba") -> Words:
    return find_words([text], [spans], segmenter)[0]


def texts_of(text: str, words: Words) -> list[str]:
    return [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]


def test_edits_are_applied_and_spans_found_again():
    edited = apply_edits("我爱北京", [Edit(1, 2, "热爱")])
    assert edited.text == "我热爱北京"
    assert edited.place(2, 4) == (3, 5)
    edited = apply_edits("甲乙丙丁", [Edit(3, 4, ""), Edit(0, 1, ""), Edit(2, 2, "新的")])
    assert edited.text == "乙新的丙"
    assert edited.place(1, 2) == (0, 1)
    assert edited.place(2, 3) == (3, 4)
    assert edited.place(1, 3) == (0, 4)  # an edit between both ends


def test_latin_words_do_not_grow_together():
    assert apply_edits("a中b", [Edit(1, 2, "")]).text == "a b"
    edited = apply_edits("我 like它bbc", [Edit(1, 2, "x"), Edit(6, 7, "y")])
    assert edited.text == "我x like y bbc"
    assert edited.text[slice(*edited.place(7, 10))] == "bbc"


def test_words_are_those_of_the_segmenter_cut_at_spans():
    text = "我们喜欢北京大学, good!"
    assert texts_of(text, words_of(text)) == ["我们", "喜欢", "北京大学", "good"]
    words = words_of(text, (5, 8))  # cuts into 北京大学
    assert texts_of(text, words) == ["我们", "喜欢", "北", "京大学", "good"]
    assert words.is_free.tolist() == [True, True, True, False, True]
    assert texts_of(text, words_of(text, segmenter="none")) == [*"我们喜欢北京大学", "good"]


def test_texts_without_words_have_none():
    found = find_words(["", "!?", "好", ""], [[], [], [(0, 1)], []], "rjieba")
    assert [len(words.starts) for words in found] == [0, 0, 1, 0]
    assert not found[2].is_free.any()
    assert find_words(["", ""], [[], []], "rjieba")[1].starts.tolist() == []


def test_operations_on_a_short_text_by_hand():
    text = "我们喜欢老师"
    words = words_of(text)
    assert {text_after("synonym", text, words, number) for number in range(40)} == {
        "咱们喜欢老师",
        "我们喜爱老师",
        "我们喜欢先生",
        "我们喜欢教师",
    }
    assert {text_after("swap", text, words, number) for number in range(40)} == {
        "喜欢我们老师",
        "老师喜欢我们",
        "我们老师喜欢",
    }
    assert {text_after("delete", text, words, number, 0.0) for number in range(40)} == {
        "喜欢老师",
        "我们老师",
        "我们喜欢",
    }
    inserted = {text_after("insert", text, words, number) for number in range(200)}
    places = [text[:end] + new + text[end:] for end in (2, 4, 6) for new in ("咱们", "喜爱", "先生", "教师")]
    assert inserted == set(places)


def text_after(operation: str, text: str, words: Words, number: int, share: float = 0.1) -> str:
    return apply_edits(text, OPERATIONS[operation](text, words, SYNONYMS, share, key_of(number))).text


def test_a_share_of_the_words_changes():
    text = "我们喜欢老师" * 10
    words = words_of(text)
    assert len(OPERATIONS["synonym"](text, words, SYNONYMS, 0.2, key_of(1))) == 6
    assert len(OPERATIONS["insert"](text, words, SYNONYMS, 0.2, key_of(1))) == 6
    assert len(OPERATIONS["swap"](text, words, SYNONYMS, 0.2, key_of(1))) == 12
    left_out = [len(OPERATIONS["delete"](text, words, SYNONYMS, 0.2, key_of(n))) for n in range(400)]
    assert np.mean(left_out) == pytest.approx(6, abs=0.3)
    assert len(OPERATIONS["delete"](text, words, SYNONYMS, 1.0, key_of(1))) == 29  # one stays


def test_words_of_one_character_are_never_replaced():
    words = words_of("好", segmenter="none")
    assert OPERATIONS["synonym"]("好", words, {"好": ("良",)}, 0.5, key_of(1)) == []


def test_a_left_out_word_takes_its_space_along():
    assert {text_after("delete", "I am here", words_of("I am here"), n, 0.0) for n in range(30)} == {
        "am here",
        "I here",
        "I am ",
    }


def test_a_protected_space_behind_a_left_out_word_stays():
    words = find_words(["I am here"], [[(1, 4)]], "none")[0]  # the span " am"
    assert {
        apply_edits("I am here", OPERATIONS["delete"]("I am here", words, SYNONYMS, 0.0, key_of(n))).text
        for n in range(9)
    } == {
        " am here",
        "I am ",
    }


PIECES = st.sampled_from(["我们", "喜欢", "老师", "很好", "good", "bad", "北京", "的", ",", "。", " ", "3", "\n"])


@settings(deadline=None, max_examples=150)
@given(
    before=st.lists(st.tuples(PIECES, st.booleans()), min_size=1, max_size=14),
    operation=st.sampled_from(list(OPERATIONS)),
    segmenter=st.sampled_from(["rjieba", "none"]),
    share=st.floats(0, 1),
    number=st.integers(0, 1000),
)
def test_protected_spans_keep_their_text_and_order(before, operation, segmenter, share, number):
    spans, text = [], ""
    for piece, is_span in before:
        if is_span:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    words = find_words([text], [spans], segmenter)[0]
    edits = OPERATIONS[operation](text, words, SYNONYMS, share, key_of(number))
    assert edits == OPERATIONS[operation](text, words, SYNONYMS, share, key_of(number))
    edited = apply_edits(text, edits)
    placed = [edited.place(start, end) for start, end in spans]
    assert [edited.text[slice(*place)] for place in placed] == [text[slice(*span)] for span in spans]
    assert placed == sorted(placed)
    kept = sorted(character for character in text if not character.isspace())
    after = sorted(character for character in edited.text if not character.isspace())
    if operation == "swap":
        assert after == kept
    if operation == "insert":
        assert len(after) >= len(kept)
    if operation == "delete" and len(words.starts):
        assert any(character.isalnum() for character in edited.text)
