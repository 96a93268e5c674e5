"""Where words begin."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.errors import RequestError
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES
from bert_core.tokens.words import segmenter_digest, word_starts

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
TOKENIZER = WordPieceTokenizer.from_vocabulary(
    [
        *SPECIAL_ENTRIES,
        *"我爱北京大学卡拉恤买",
        *LETTERS,
        *("##" + c for c in LETTERS),
        "play",
        "##ing",
        "ok",
        *",.，'",
    ],
    lowercase=True,
)


@pytest.mark.parametrize(
    ("text", "tokens", "rjieba", "none"),
    [
        ("我爱北京playing", "我 爱 北 京 play ##ing", "1 1 1 0 1 0", "1 1 1 1 1 0"),
        ("买T恤", "买 t 恤", "1 1 0", "1 1 1"),
        ("卡拉OK，3.14", "卡 拉 ok ， 3 . 1 ##4", "1 0 1 1 1 1 1 0", "1 1 1 1 1 1 1 0"),
        ("don't", "d ##o ##n ' t", "1 0 0 1 1", "1 0 0 1 1"),
        ("北 京", "北 京", "1 1", "1 1"),
        ("北京", "北 京", "1 0", "1 1"),
        ("侏儒北京", "[UNK] [UNK] 北 京", "1 0 1 0", "1 1 1 1"),
        ("", "", "", ""),
    ],
)
def test_worked_cases(text: str, tokens: str, rjieba: str, none: str):
    tokenized = TOKENIZER.encode([text])
    assert [TOKENIZER.entries[index] for index in tokenized.ids] == tokens.split()
    assert word_starts([text], tokenized, "rjieba").tolist() == [int(value) for value in rjieba.split()]
    assert word_starts([text], tokenized, "none").tolist() == [int(value) for value in none.split()]


def test_words_do_not_cross_texts():
    texts = ["北", "京", "", "北京"]
    assert word_starts(texts, TOKENIZER.encode(texts), "rjieba").tolist() == [1, 1, 1, 0]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("北京大学我爱卡拉ok恤T .，\n\u0301𠀀é") | st.characters(exclude_categories=("Cs",)))
    )
)
def test_rows_are_independent_and_pieces_never_begin_a_word(texts: list[str]):
    tokenized = TOKENIZER.encode(texts)
    starts = word_starts(texts, tokenized, "rjieba")
    assert not (starts.astype(bool) & tokenized.continues).any()
    assert (starts <= word_starts(texts, tokenized, "none")).all()
    for row, text in enumerate(texts):
        begin, end = tokenized.row_offsets[row : row + 2]
        assert starts[begin:end].tolist() == word_starts([text], TOKENIZER.encode([text]), "rjieba").tolist()


def test_segmenter_digest_names_the_version():
    from importlib.metadata import version

    assert segmenter_digest("none") == "none"
    assert segmenter_digest("rjieba") == f"rjieba {version('rjieba')}"


def test_unknown_segmenter_is_refused():
    with pytest.raises(RequestError, match="segmenter 'hanlp', expected one of none, rjieba"):
        segmenter_digest("hanlp")
    with pytest.raises(RequestError, match="'hanlp'"):
        word_starts(["a"], TOKENIZER.encode(["a"]), "hanlp")
