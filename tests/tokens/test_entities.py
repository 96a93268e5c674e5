"""Entries of lexicons on tokens."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.errors import RequestError
from bert_core.tokens.entities import EntityMatcher, read_lexicon
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = WordPieceTokenizer.from_vocabulary(
    [*SPECIAL_ENTRIES, *"我爱北京大学生在中国", *LETTERS, *("##" + c for c in LETTERS), "new", "york", "##art"],
    lowercase=True,
)


@pytest.fixture
def lexicons(tmp_path: Path) -> list[Path]:
    (tmp_path / "places.txt").write_bytes("\ufeff北京\t12\r\n中国 \t3\r\nNew York\r\n我\r\n\r\n".encode())
    (tmp_path / "schools.txt").write_text("北京大学\n大学生\n北京\nart\n", encoding="utf-8")
    return [tmp_path / "places.txt", tmp_path / "schools.txt"]


def test_lexicon_ignores_tabs_marks_line_ends_and_single_characters(lexicons):
    assert read_lexicon(lexicons[0]) == ["北京", "中国", "New York"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("我在北京大学生", [(2, 4, 1)]),  # leftmost first: 北京大学, then 生 is left over
        ("北京北京大学", [(0, 2, 0), (2, 4, 1)]),  # 北京 is in both: the first lexicon has it
        ("大学生在New York", [(0, 3, 1), (4, 2, 0)]),
        ("smart art", [(3, 3, 1)]),  # not inside smart, which is s ##m ##art
        ("北 京", []),
        ("", []),
    ],
)
def test_worked_cases(lexicons, text: str, found: list):
    starts, lengths, lexicon_index, row_offsets = EntityMatcher(lexicons).match([text], TOKENIZER.encode([text]))
    assert list(zip(starts.tolist(), lengths.tolist(), lexicon_index.tolist(), strict=True)) == found
    assert row_offsets.tolist() == [0, len(found)]
    assert (starts.dtype, lengths.dtype, lexicon_index.dtype) == (np.int32, np.int32, np.int8)


def test_rows_have_their_own_counts(lexicons):
    texts = ["北京", "我", "中国北京"]
    starts, _, _, row_offsets = EntityMatcher(lexicons).match(texts, TOKENIZER.encode(texts))
    assert starts.tolist() == [0, 0, 2]
    assert row_offsets.tolist() == [0, 1, 1, 3]


def test_no_lexicons_find_nothing():
    starts, _, _, row_offsets = EntityMatcher([]).match(["北京", "a"], TOKENIZER.encode(["北京", "a"]))
    assert starts.tolist() == []
    assert row_offsets.tolist() == [0, 0, 0]


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("北京大学生中国我 neworkyart\u0301")))
def test_entities_are_ascending_and_cover_their_text(text: str):
    matcher = EntityMatcher.__new__(EntityMatcher)
    matcher.entries = {"北京": 0, "北京大学": 0, "大学生": 1, "new york": 1, "art": 0}
    tokenized = TOKENIZER.encode([text])
    starts, lengths, lexicon_index, _ = matcher.match([text], tokenized)
    assert (starts[1:] >= (starts + lengths)[:-1]).all()
    for start, length, index in zip(starts, lengths, lexicon_index, strict=True):
        piece = text[tokenized.char_starts[start] : tokenized.char_ends[start + length - 1]]
        assert matcher.entries[piece] == index


def test_digest_follows_entries_and_their_order(lexicons, tmp_path):
    digest = EntityMatcher(lexicons).digest
    (tmp_path / "same.txt").write_text("北京\n中国\nNew York\n", encoding="utf-8")
    assert EntityMatcher([tmp_path / "same.txt", lexicons[1]]).digest == digest
    assert EntityMatcher(lexicons[::-1]).digest != digest


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xe5\x8c\n\n", "not UTF-8"), ("我\n".encode(), "no entry of 2"), (None, "no such lexicon")],
)
def test_unusable_lexicon_is_refused(tmp_path, content: bytes | None, message: str):
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        EntityMatcher([path])
