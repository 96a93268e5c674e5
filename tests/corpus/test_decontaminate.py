"""Documents that equal, contain or lie inside a held-out text are found, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus.clean import normalise
from bert_core.corpus.decontaminate import CLEAN, CONTAINS, EQUAL, INSIDE, MIN_CHARACTERS, HeldOutTexts

HELD_OUT = ["abcdefghijklmno", "短文"]


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ("abcdefghijklmno", EQUAL),
        ("xabcdefghijklmnox", CONTAINS),
        ("bcdefghijklmn", INSIDE),
        ("abcdefghijkl", INSIDE),
        ("bcdefghijkl", CLEAN),  # 11 characters
        ("短文", EQUAL),
        ("一篇含有短文的长文章也不算数", CLEAN),
        ("", CLEAN),
        ("abcdefghijklxyz", CLEAN),
    ],
)
def test_kinds_of_contamination(document: str, kind: int):
    assert HeldOutTexts(HELD_OUT).kinds_of([document]).tolist() == [kind]


def test_nothing_held_out_contaminates_nothing():
    assert HeldOutTexts([]).kinds_of(["abc", ""]).tolist() == [CLEAN, CLEAN]
    assert HeldOutTexts(["", ""]).kinds_of([""]).tolist() == [CLEAN]


def test_a_text_does_not_lie_across_two_held_out_texts():
    held_out = HeldOutTexts(["aaaaaaaaaaaaab", "caaaaaaaaaaaaa"])
    assert held_out.kinds_of([normalise("aaaaaaaaaaaaab\ncaaaaaaaaaaaaa"[2:-2])]).tolist() == [CLEAN]


TEXTS = st.lists(st.text("ab", max_size=20), max_size=6)


@given(TEXTS, TEXTS)
def test_the_index_agrees_with_plain_search(documents: list[str], held_out: list[str]):
    def slowly(document: str) -> int:
        if document and document in held_out:
            return EQUAL
        if any(len(text) >= MIN_CHARACTERS and text in document for text in held_out):
            return CONTAINS
        if len(document) >= MIN_CHARACTERS and any(document in text for text in held_out):
            return INSIDE
        return CLEAN

    assert HeldOutTexts(held_out).kinds_of(documents).tolist() == [slowly(document) for document in documents]
