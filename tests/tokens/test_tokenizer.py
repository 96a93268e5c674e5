"""The fused tokenizer against the tokenizers library, ids and offsets, on every kind of text that we could think of."""

import gzip
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from bert_core.errors import RequestError
from bert_core.tokens.tokenizer import TokenizedTexts, WordPieceTokenizer
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES

DATA = Path(__file__).parents[2].parent / "shared" / "data"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789éßıαβσςяかアᄀ나ᅥᆨᆫ"
ENTRIES = [
    *SPECIAL_ENTRIES,
    *"我爱北京大学中国豈",
    *("##我", "[unused1]", "##"),
    *LETTERS,
    *("##" + letter for letter in LETTERS if letter not in "xz"),
    *("play", "##ing", "##ed", "the", "them", "##ther", "mask", "##sk", "Play", "σσ", "##σς", "ABC", "##É", "\u302e"),
    *"!,.[]，。#",
]
FOLDINGS = [(True, True), (False, False), (True, False), (False, True)]
"""Whether letters are folded, and whether accents are stripped."""
TOKENIZERS = {
    folding: WordPieceTokenizer.from_vocabulary(ENTRIES, lowercase=folding[0], strip_accents=folding[1])
    for folding in FOLDINGS
}
LOWER, CASED = FOLDINGS[:2]


def oracle(entries: list[str], lowercase: bool, strip_accents: bool) -> BertWordPieceTokenizer:
    """The library's own BERT tokenizer; its special tokens are left out, so that a literal [MASK] stays text."""
    library = BertWordPieceTokenizer(
        {entry: index for index, entry in enumerate(entries)},
        lowercase=lowercase,
        strip_accents=strip_accents,
        clean_text=True,
        handle_chinese_chars=True,
    )
    plain = library._tokenizer.__class__(library._tokenizer.model)
    plain.normalizer, plain.pre_tokenizer = library._tokenizer.normalizer, library._tokenizer.pre_tokenizer
    return plain


ORACLES = {folding: oracle(ENTRIES, *folding) for folding in FOLDINGS}


def rows(tokenized: TokenizedTexts) -> list[tuple[list[int], list[tuple[int, int]]]]:
    found = []
    for begin, end in zip(tokenized.row_offsets[:-1], tokenized.row_offsets[1:], strict=True):
        starts, ends = tokenized.char_starts[begin:end].tolist(), tokenized.char_ends[begin:end].tolist()
        found.append((tokenized.ids[begin:end].tolist(), list(zip(starts, ends, strict=True))))
    return found


def assert_same(tokenizer: WordPieceTokenizer, library, texts: list[str]) -> None:
    expected = library.encode_batch(texts, add_special_tokens=False)
    for text, got, want in zip(texts, rows(tokenizer.encode(texts)), expected, strict=True):
        assert got == (want.ids, want.offsets), ascii(text[:200])


def test_ids_and_offsets_of_a_worked_case():
    tokenizer = WordPieceTokenizer.from_vocabulary([*SPECIAL_ENTRIES, "我", "play", "##ing", "!"], lowercase=True)
    tokenized = tokenizer.encode(["我Playing!", "", "爱 plays"])
    assert tokenized.ids.tolist() == [5, 6, 7, 8, 1, 1]
    assert tokenized.ids.dtype == np.int32
    assert tokenized.row_offsets.tolist() == [0, 4, 4, 6]
    assert tokenized.row_offsets.dtype == np.int64
    assert tokenized.char_starts.tolist() == [0, 1, 5, 8, 0, 2]
    assert tokenized.char_ends.tolist() == [1, 5, 8, 9, 1, 7]
    assert tokenized.continues.tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "[MASK] [CLS]x[SEP] [UNK] [PAD] ##ing ## # [unused1]",
        "a" * 100 + " " + "a" * 101 + " x" + "é" * 100,
        "a\u0301" * 100 + "b",  # 100 letters after the accents fall
        "Ａ１ １９９８年",
        "ΣΑΣ ΌΔΟΣ ςσΣ",  # final sigma
        "İstanbul ISTANBUL ıI ẞ ß",
        "가각힣 한국 ᄀ\u1161\u11a8",
        "e\u0323\u0301 e\u0301\u0323 \u1e69 s\u0307\u0323",
        "\u302e\u302f a\u302f\u302e\u0323b \u302ea",  # marks that survive, in and out of order
        "\U0001d15e\U0001d165\U0001d16e",
        "\u0344\u0301\u0301 start with marks",
        "我\u0301爱\u302a京\ufe0f",
        "\u200bzero\u200dwidth\ufeff \u00ad soft",
        "\x00\x01\ufffd\ue000\U0010ffff end",
        "tab\tnew\nline\r\nu2028\u2028u85\x85nbsp\u00a0ideo\u3000end",
        "豈豈 \U0002f800 \U00020000我",
        "don't... 3.14，“好”——…",
        "𝔘𝔫𝔦 𝟏𝟐 🙂👩‍👩‍👧 🇨🇳",
        "か\u3099 が ｶﾞ ガ",
        " ",
        "\u0301",
        "\u1fc1\u037e\u2260\u1fef",
    ],
)
@pytest.mark.parametrize("folding", FOLDINGS)
def test_hard_contexts_equal_the_library(text: str, folding: tuple[bool, bool]):
    assert_same(TOKENIZERS[folding], ORACLES[folding], [text, "before " + text, text + " after", "a" + text + "b"])


@pytest.mark.parametrize("folding", [LOWER, CASED])
@pytest.mark.parametrize("plane", [0, 1, 2])
def test_code_points_of_the_first_planes_equal_the_library(plane: int, folding: tuple[bool, bool]):
    step = 1 if plane < 2 else 7
    code_points = range(plane << 16, (plane + 1) << 16, step)
    texts = [f"a{chr(c)}b我{chr(c)}" for c in code_points if not 0xD800 <= c < 0xE000]
    assert_same(TOKENIZERS[folding], ORACLES[folding], texts)


@pytest.mark.slow
@pytest.mark.parametrize("folding", FOLDINGS)
def test_every_code_point_equals_the_library(folding: tuple[bool, bool]):
    for first in range(0, 0x110000, 1 << 16):
        code_points = [c for c in range(first, first + (1 << 16)) if not 0xD800 <= c < 0xE000]
        assert_same(TOKENIZERS[folding], ORACLES[folding], [f"{chr(c)}a{chr(c)}b" for c in code_points])


def test_accents_are_stripped_apart_from_letters_folded():
    entries = [*SPECIAL_ENTRIES, "É", "é", "E", "e"]
    found = {
        folding: entries[
            WordPieceTokenizer.from_vocabulary(entries, lowercase=folding[0], strip_accents=folding[1])
            .encode(["É"])
            .ids[0]
        ]
        for folding in FOLDINGS
    }
    assert found == {(True, True): "e", (False, False): "É", (True, False): "é", (False, True): "E"}


MARKS = st.sampled_from(
    "\u0301\u0323\u0334\u0345\u302e\u302f\u302a\u08d4\u3099\U0001d165\U0001d16e\u1161\u11a8\u200d\x00\u093c"
)
COMMON = st.sampled_from("abcxyzABCéÉßσςΣİıßかが가ᄀ我爱豈 \t\n.,!#[]'-0189，。ﬁǅ\u212b")
ANY = st.characters(exclude_categories=("Cs",))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.text(COMMON | MARKS | ANY, max_size=40), max_size=5), st.sampled_from(FOLDINGS))
def test_any_text_equals_the_library(texts: list[str], folding: tuple[bool, bool]):
    assert_same(TOKENIZERS[folding], ORACLES[folding], texts)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["play", "ing", "the", "them", "ther", "z", "x", "é", "\u0301", "q" * 98]), max_size=12)
)
def test_long_words_equal_the_library(pieces: list[str]):
    assert_same(TOKENIZERS[LOWER], ORACLES[LOWER], ["".join(pieces)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("abcdeth"), min_size=1, max_size=4), min_size=1, max_size=60, unique=True))
def test_any_vocabulary_equals_the_library(pieces: list[str]):
    entries = [*SPECIAL_ENTRIES, *pieces, *("##" + piece for piece in reversed(pieces[::2]))]
    tokenizer = WordPieceTokenizer.from_vocabulary(entries, lowercase=True)
    texts = ["".join(pieces), " ".join(pieces), *pieces, *map(str.__add__, pieces, reversed(pieces))]
    assert_same(tokenizer, oracle(entries, True, True), texts)


def test_result_does_not_depend_on_threads_or_container():
    texts = ["我爱play ", "", "x\u302e\u302fa", "the北京" * 30_000, "Playing!"] * 5
    tokenizer = TOKENIZERS[LOWER]
    expected = tokenizer.encode(texts)
    column = pa.array(["drop", *texts, None], pa.string())
    for given_texts, num_threads in [
        (texts, 3),
        (column[1:-1], 1),
        (pa.array(texts, pa.large_string()), 2),
        (pa.chunked_array([texts[:7], [], texts[7:]], pa.string()), 2),
        (pa.array(texts).dictionary_encode(), 1),
    ]:
        got = tokenizer.encode(given_texts, num_threads=num_threads)
        for name in ("ids", "row_offsets", "char_starts", "char_ends"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


@pytest.mark.parametrize("texts", [[], pa.array([], pa.string()), pa.chunked_array([], pa.string())])
def test_no_texts_give_no_tokens(texts):
    tokenized = TOKENIZERS[LOWER].encode(texts)
    assert tokenized.ids.tolist() == []
    assert tokenized.row_offsets.tolist() == [0]


@pytest.mark.parametrize("folding", FOLDINGS)
def test_nul_in_a_list_of_texts_is_dropped_as_in_a_column(folding: tuple[bool, bool]):
    for texts in (["play", "", "\0", "pl\0ay\0", "我"], ["é\u302e\u302f", "", "play"]):
        assert_same(TOKENIZERS[folding], ORACLES[folding], texts)
        expected = TOKENIZERS[folding].encode(pa.array(texts))
        assert rows(TOKENIZERS[folding].encode(texts)) == rows(expected)


def test_null_counts_as_empty():
    tokenized = TOKENIZERS[LOWER].encode(pa.array(["a", None, "b"]))
    assert tokenized.row_offsets.tolist() == [0, 1, 1, 2]


def test_lone_surrogate_is_refused():
    with pytest.raises(RequestError, match="lone surrogate"):
        TOKENIZERS[LOWER].encode(["ok", "bad \ud800"])


def test_bytes_that_are_no_utf8_do_no_harm():
    for data in (b"a\xe6", b"a\xf0\x9f\x98", b"\xff\xff\xff\xff\xffa", b"\xf7\xbf\xbf\xbfb", b"\x80"):
        offsets = np.array([0, len(data)], np.int32)
        column = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)])
        assert len(TOKENIZERS[LOWER].encode(column).ids) <= len(data)


def test_replacement_pool_is_what_text_can_give():
    tokenizer = TOKENIZERS[LOWER]
    pool = [tokenizer.entries[index] for index in tokenizer.replacement_pool()]
    assert tokenizer.replacement_pool().dtype == np.uint32
    for never in (*SPECIAL_ENTRIES, "[unused1]", "##", "##我", "Play", "ABC", "##É", "é"):
        assert never not in pool
    assert {"我", "play", "##ing", "!", "#", "a"} <= set(pool)
    cased = TOKENIZERS[CASED]
    assert {"Play", "ABC", "##É", "é"} <= {cased.entries[index] for index in cased.replacement_pool()}


def test_every_whole_word_of_the_pool_comes_back():
    tokenizer = TOKENIZERS[LOWER]
    pool = [index for index in tokenizer.replacement_pool() if not tokenizer.entries[index].startswith("##")]
    assert tokenizer.encode([tokenizer.entries[index] for index in pool]).ids.tolist() == pool


def test_decode_joins_as_the_library_does():
    tokenizer = TOKENIZERS[LOWER]
    ids = [tokenizer.cls_id, *tokenizer.encode(["我playing, the"]).ids, tokenizer.mask_id]
    assert tokenizer.decode(ids) == "[CLS] 我 playing, the [MASK]"


def test_attributes_and_digest():
    tokenizer = TOKENIZERS[LOWER]
    assert [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert tokenizer.vocabulary_size == len(ENTRIES)
    assert tokenizer.digest != TOKENIZERS[CASED].digest
    assert tokenizer.digest == WordPieceTokenizer.from_vocabulary(ENTRIES, lowercase=True).digest


def test_import_is_cheap():
    code = (
        "import sys, bert_core.tokens.tokenizer, bert_core.tokens.words, bert_core.tokens.entities;"
        "assert not {'numba', 'tokenizers', 'torch', 'transformers', 'rjieba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def _all_texts() -> Iterator[str]:
    """Every line of every text file, and every value of the lines of JSON."""
    for path in sorted(DATA.rglob("*")):
        if path.name.endswith(".jsonl.gz"):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    yield from (str(value) for value in json.loads(line).values())
        elif path.is_file():
            yield from path.read_text(encoding="utf-8", errors="replace").split("\n")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not DATA.exists(), reason="needs the data folder beside the checkout")
@pytest.mark.parametrize(
    ("name", "folding", "step"),
    [
        ("google_zh_vocab.txt", LOWER, 1),
        ("google_uncased_en_vocab.txt", LOWER, 8),
        ("google_zh_vocab.txt", CASED, 8),
        ("google_zh_vocab.txt", (True, False), 8),
        ("google_zh_vocab.txt", (False, True), 8),
    ],
)
def test_all_real_text_equals_the_library(name: str, folding: tuple[bool, bool], step: int):
    entries = WordPieceTokenizer.from_folder(DATA / "vocab" / name).entries
    tokenizer = WordPieceTokenizer.from_vocabulary(entries, lowercase=folding[0], strip_accents=folding[1])
    library = oracle(entries, *folding)
    num_texts, num_characters, waiting = 0, 0, []
    for text in itertools.islice(_all_texts(), 0, None, step):
        waiting.append(text)
        num_texts += 1
        num_characters += len(text)
        if num_characters > 500_000:  # the library's encodings take some hundred bytes a token
            assert_same(tokenizer, library, waiting)
            num_characters, waiting = 0, []
    assert_same(tokenizer, library, waiting)
    assert num_texts > 50_000 // step
