"""A thesaurus file becomes tables of tokens."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.config import MaskingConfig, load_recipe
from bert_core.corpus.paths import find_file
from bert_core.errors import RequestError
from bert_core.examples.masking import MaskVocabulary
from bert_core.examples.similar_kernels import find_word
from bert_core.examples.thesaurus import SimilarWords, read_thesaurus
from bert_core.stages.graph import build_graph
from bert_core.tokens.tokenizer import WordPieceTokenizer

DATA = Path(__file__).parents[2].parent / "shared" / "data"
TEXT = (
    "\ufeffAa01= \u4e00\u4e01 \u4e02\u4e03 \u4e04\r\n\r\n"
    "Ab02# \u4e04 \u4e05 \u4e00\u4e01 \u4e06\u4e07\r\nAc03@ \u4e08\r\n"
)
"""Characters of the tiny vocabulary, ids from 5: synonyms (5 6), (7 8) and (9); related 9, (10), (5 6), (11 12)."""


@pytest.fixture
def tokenizer(vocabulary_folder):
    return WordPieceTokenizer.from_folder(vocabulary_folder)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_groups_are_read_past_byte_order_mark_and_carriage_returns(path):
    assert read_thesaurus(path) == [
        ("=", ["\u4e00\u4e01", "\u4e02\u4e03", "\u4e04"]),
        ("#", ["\u4e04", "\u4e05", "\u4e00\u4e01", "\u4e06\u4e07"]),
        ("@", ["\u4e08"]),
    ]


def test_similar_are_synonyms_of_as_many_tokens_else_related_words(path, tokenizer):
    words = SimilarWords.read(path, tokenizer)
    assert words.num_words == 6
    assert {word: words.similar_to(word) for word in [(5, 6), (7, 8), (9,), (10,), (11, 12), (13,), (99,), ()]} == {
        (5, 6): {(7, 8)},
        (7, 8): {(5, 6)},
        (9,): {(10,)},
        (10,): {(9,)},
        (11, 12): {(5, 6)},
        (13,): set(),
        (99,): set(),
        (): set(),
    }


def test_words_that_the_vocabulary_lacks_are_left_out(tmp_path, tokenizer):
    path = tmp_path / "words.txt"
    path.write_text("A= \u4e00\u4e01 \u4e02\u9fff \u4e04\u4e05\n", encoding="utf-8")
    words = SimilarWords.read(path, tokenizer)
    assert words.tokens.tolist() == [5, 6, 9, 10]


def test_layout_of_three_words():
    words = SimilarWords.of({(7, 8): {(9, 8)}, (9, 8): {(7, 8)}, (5,): set()})
    assert words.tokens.tolist() == [5, 7, 8, 9, 8]
    assert words.offsets.tolist() == [0, 1, 3, 5]
    assert words.first_of_length.tolist() == [0, 0, 1, 3]
    assert words.similar.tolist() == [2, 1]
    assert words.similar_offsets.tolist() == [0, 0, 1, 2]


@given(st.sets(st.lists(st.integers(5, 9), min_size=1, max_size=4).map(tuple), max_size=60))
def test_every_word_is_found_at_its_place_and_no_other_is(known):
    words = SimilarWords.of({word: set() for word in known})
    for word in [*known, (5,), (9, 9), (5, 6, 7, 8, 9), (4, 5, 6)]:
        number = find_word(np.array(word, np.int32), words.tokens, words.offsets, words.first_of_length)
        if word in known:
            assert words.tokens[words.offsets[number] : words.offsets[number + 1]].tolist() == list(word)
        else:
            assert number == -1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Aa01= \xff\n", r"words\.txt:1: not UTF-8"),
        ("A= \u4e00 \u4e01\nwords without a code\n".encode(), r"words\.txt:2: 'words without a code', expected a code"),
        (b"A=\n", r"words\.txt:1: 'A=', expected a code"),
        ("A= \u4e00 \u4e01\u4e02\nB@ \u4e03\n".encode(), "no two similar words of as many tokens among 3 words"),
        (b"", "no two similar words of as many tokens among 0 words"),
    ],
)
def test_a_file_that_is_no_thesaurus_is_refused(tmp_path, tokenizer, content, message):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        SimilarWords.read(path, tokenizer)


def test_a_thesaurus_is_one_file(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("A= \u4e00 \u4e01\n", encoding="utf-8")
    assert find_file("a.txt", tmp_path, "masking.thesaurus").path == tmp_path / "a.txt"
    with pytest.raises(RequestError, match="2 files, expected one"):
        find_file("*.txt", tmp_path, "masking.thesaurus")
    with pytest.raises(RequestError, match=r"none\.txt"):
        find_file("none.txt", tmp_path, "masking.thesaurus")


def test_vocabulary_reads_the_thesaurus_of_the_masking(path, vocabulary_folder):
    masking = MaskingConfig(policy="similar_word", thesaurus=str(path))
    vocabulary = MaskVocabulary.from_folder(vocabulary_folder, masking)
    assert vocabulary.similar is not None
    assert vocabulary.similar.similar_to((5, 6)) == {(7, 8)}
    assert MaskVocabulary.from_folder(vocabulary_folder, MaskingConfig()).similar is None


@pytest.mark.skipif(not (DATA / "lexicons" / "cilin_ex.txt").is_file(), reason="the extended Cilin is not here")
def test_the_extended_cilin_is_read():
    groups = read_thesaurus(DATA / "lexicons" / "cilin_ex.txt")
    assert len(groups) == 17_817
    assert {kind for kind, _ in groups} == {"=", "#", "@"}
    assert min(len(words) for _, words in groups) >= 1


def test_the_digest_of_the_thesaurus_belongs_to_its_stage_alone(tiny_recipe, path):
    """Another file under the same name builds the stage anew; where it lies does not matter; other stages stay."""
    overrides = ["pretrain.masking.policy=similar_word", f"pretrain.masking.thesaurus={path}"]

    def stages():
        return build_graph(load_recipe(tiny_recipe, overrides), tiny_recipe.parent)

    first = stages()
    (name,) = first["pretrain"].raw
    assert name.startswith("thesaurus/")
    assert name.endswith("words.txt")
    assert first["domain_transfer"].raw == {}
    assert "thesaurus" not in first["domain_transfer"].settings["transfer"]["masking"]
    assert MaskingConfig.model_validate(first["pretrain"].settings["transfer"]["masking"]).policy == "similar_word"
    path.write_text("A= \u4e00 \u4e01\n", encoding="utf-8")
    assert stages()["pretrain"].raw[name] != first["pretrain"].raw[name]
    assert stages()["examples/pretrain"] == first["examples/pretrain"]
    path.unlink()
    with pytest.raises(RequestError, match=r"words\.txt"):
        stages()
