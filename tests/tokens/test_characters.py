"""The table of code points: kinds, the cache, and what a damaged or unwritable cache does."""

import numpy as np
import pytest

from bert_core.tokens import characters
from bert_core.tokens.characters import (
    CONTEXT,
    DROP,
    ISOLATED,
    SEVERAL,
    SPACE,
    WORD,
    code_points_of,
    is_han,
    load_characters,
    text_of,
)


@pytest.mark.parametrize(
    ("character", "kind", "becomes"),
    [
        ("a", WORD, "a"),
        ("A", WORD, "a"),
        ("É", WORD, "e"),
        ("Σ", WORD, "σ"),
        ("我", ISOLATED, "我"),
        ("豈", ISOLATED, "豈"),
        ("|", ISOLATED, "|"),
        ("，", ISOLATED, "，"),
        ("\u037e", ISOLATED, ";"),
        ("\n", SPACE, " "),
        ("\u3000", SPACE, " "),
        ("\u0301", DROP, ""),
        ("\x00", DROP, ""),
        ("\u302e", CONTEXT, ""),
        ("가", SEVERAL, "ᄀ\u1161"),
    ],
)
def test_kind_and_normal_form_with_lowercase(character: str, kind: int, becomes: str):
    table = load_characters(True)
    code_point = ord(character)
    assert table.kinds[code_point] == kind
    value = int(table.characters[code_point])
    if kind == SEVERAL:
        span = slice(table.several_offsets[value], table.several_offsets[value + 1])
        assert text_of(table.several_characters[span]) == becomes
    elif kind in (WORD, ISOLATED):
        assert chr(value) == becomes


def test_without_lowercase_nothing_is_folded_and_no_context_matters():
    table = load_characters(False)
    assert chr(int(table.characters[ord("É")])) == "É"
    assert not (table.kinds == CONTEXT).any()
    assert not (table.kinds == SEVERAL).any()


def test_letters_folded_with_their_accents_kept_and_the_other_way_round():
    accents, plain = load_characters(True, strip_accents=False), load_characters(False, strip_accents=True)
    assert chr(int(accents.characters[ord("É")])) == "é"
    assert not (accents.kinds == CONTEXT).any()
    assert chr(int(plain.characters[ord("É")])) == "E"
    assert plain.kinds[0x302E] == CONTEXT


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False])
def test_no_byte_gives_more_than_one_token(lowercase: bool, strip_accents: bool):
    assert load_characters(lowercase, strip_accents).tokens_per_byte() == 1


def test_second_load_reads_the_cache_and_damage_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setenv("BERTLINE_CACHE", str(tmp_path / "cache"))
    expected = load_characters(False)
    (path,) = (tmp_path / "cache").iterdir()
    asked = []
    monkeypatch.setattr(characters, "ask_library", lambda *folding: asked.append(folding) or expected)
    np.testing.assert_array_equal(load_characters(False).kinds, expected.kinds)
    assert asked == []

    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (bytes(flipped), whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        load_characters(False)
    assert asked == [(False, False)] * 3


def test_cache_folder_that_cannot_be_made_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BERTLINE_CACHE", str(tmp_path / "file" / "cache"))
    expected = load_characters(True)
    assert expected.kinds[ord("a")] == WORD


def test_han_is_what_bert_isolates():
    text = "我〇々a𠀀豈龥！"
    assert is_han(code_points_of(text)).tolist() == [True, False, False, False, True, True, True, False]


def test_text_and_code_points_are_inverse():
    assert text_of(code_points_of("a我🙂")) == "a我🙂"
    assert code_points_of("").tolist() == []
