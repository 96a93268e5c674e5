"""Characters behind tokens, from bytes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.tokens.arrow_texts import utf8_of
from bert_core.tokens.token_kernels import characters_of, count_tokens

TEXTS = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.data())
def test_characters_are_those_of_the_spans(texts: list[str], data: st.DataObject):
    spans = []
    for row, text in enumerate(texts):
        starts = data.draw(st.lists(st.integers(0, len(text)), max_size=4).map(sorted))
        spans += [(row, start, data.draw(st.integers(start, len(text)))) for start in starts]
    rows, starts, ends = np.array(spans, np.int64).reshape(-1, 3).T
    [(utf8, offsets)] = utf8_of(texts)
    found = characters_of(utf8, offsets, rows, starts, ends)
    assert "".join(map(chr, found.tolist())) == "".join(texts[row][start:end] for row, start, end in spans)


def test_a_character_far_into_a_text_is_found():
    text = "a好é𠀀" * 500
    [(utf8, offsets)] = utf8_of(["好", text])
    starts = np.array([3, 67, 130, 1001, 1999])
    found = characters_of(utf8, offsets, np.ones(5, np.int64), starts, starts + 1)
    assert "".join(map(chr, found.tolist())) == "".join(text[start] for start in starts)


def test_tokens_of_worked_sentences():
    [(utf8, offsets)] = utf8_of(["好。 走吧！", "", "ab"])  # sentences of 3 and 3 characters, none, one of 2
    lengths, row_offsets, num_characters = count_tokens(
        utf8, offsets, np.array([7, 16, 18]), np.array([0, 2, 2, 3]), np.array([0, 1, 3, 4, 5]), np.array([0, 5, 5, 5])
    )
    assert (lengths.tolist(), row_offsets.tolist(), num_characters) == ([2, 3], [0, 2, 2, 2], 8)
