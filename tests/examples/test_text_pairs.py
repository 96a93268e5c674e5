import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_core.examples.text_pairs import pair_inputs, shortened
from bert_core.tokens.tokenizer import WordPieceTokenizer

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"甲乙丙丁"]


def _one_by_one(length_a: int, length_b: int, room: int) -> tuple[int, int]:
    """The rule as it is told: a token at a time from the longer text, of B where both are alike."""
    while length_a + length_b > room:
        if length_a > length_b:
            length_a -= 1
        else:
            length_b -= 1
    return length_a, length_b


@given(length_a=st.integers(0, 60), length_b=st.integers(0, 60), room=st.integers(1, 50))
def test_the_longer_text_is_shortened_as_token_by_token(length_a, length_b, room):
    kept = shortened(np.array([length_a]), np.array([length_b]), room)
    assert (int(kept[0][0]), int(kept[1][0])) == _one_by_one(length_a, length_b, room)


def test_a_pair_is_one_input_with_the_characters_of_each_text():
    tokenizer = WordPieceTokenizer.from_vocabulary(ENTRIES, lowercase=True)
    found = pair_inputs(tokenizer, ["甲 乙", "甲", ""], ["丙", "乙丙丁X甲", "丁"], 7)
    assert found.ids.tolist() == [2, 5, 6, 3, 7, 3, 2, 5, 3, 6, 7, 8, 3, 2, 3, 8, 3]
    assert found.offsets.tolist() == [0, 6, 13, 17]
    assert found.length_a.tolist() == [2, 1, 0]
    assert found.char_starts.tolist() == [-1, 0, 2, -1, 0, -1, -1, 0, -1, 0, 1, 2, -1, -1, -1, 0, -1]
    assert found.char_ends.tolist() == [-1, 1, 3, -1, 1, -1, -1, 1, -1, 1, 2, 3, -1, -1, -1, 1, -1]
    assert (found.num_cut, found.num_tokens, found.num_unknown) == (1, 10, 1)
