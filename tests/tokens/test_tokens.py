"""Documents shards to tokens shards."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import WordsConfig
from bert_core.store.shards import read_shards
from bert_core.tokens import tokens
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.tokens import build_tokens, sentence_lengths
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, write_vocabulary

ENTRIES = [*SPECIAL_ENTRIES, *"我爱北京。好走吧！", "play", "##ing", *"ab. "]

TOKENIZER = WordPieceTokenizer.from_vocabulary(ENTRIES, lowercase=True)


@pytest.fixture
def vocabulary_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    write_vocabulary(ENTRIES, True, folder)
    return folder


def build(
    documents: Path,
    vocabulary: Path,
    out: Path,
    lexicons: list[Path] | None = None,
    segmenter: Literal["none", "rjieba"] = "rjieba",
):
    out.mkdir()
    counts = build_tokens(documents, vocabulary, WordsConfig(segmenter=segmenter), lexicons or [], out)
    return counts, read_shards(out, "tokens")


def test_worked_documents(tmp_path, write_documents: Callable, vocabulary_folder):
    lexicon = tmp_path / "places.txt"
    lexicon.write_text("北京\n", encoding="utf-8")
    documents = write_documents(["我爱北京。playing“X！", " \n", "好。\n \n走吧！北京"])
    counts, table = build(documents, vocabulary_folder, tmp_path / "out", [lexicon])
    assert table.to_pylist() == [
        {
            "doc_id": 100,
            "input_ids": [5, 6, 7, 8, 9, 14, 15, 1, 1, 13],
            "sentence_lengths": [5, 5],
            "word_starts": [True, True, True, False, True, True, False, True, True, True],
            "entity_starts": [2],
            "entity_lengths": [2],
            "entity_lexicons": [0],
        },
        {
            "doc_id": 102,
            "input_ids": [10, 9, 11, 12, 13, 7, 8],
            "sentence_lengths": [2, 3, 2],
            "word_starts": [True, True, True, True, True, True, False],
            "entity_starts": [5],
            "entity_lengths": [2],
            "entity_lexicons": [0],
        },
    ]
    assert counts == {
        "documents": 2,
        "documents_without_tokens": 1,
        "characters": 15 + 2 + 10,
        "sentences": 5,
        "tokens": 17,
        "words": 14,
        "entities": 2,
        "unknown_tokens": 2,
        "unknown_share": 0.117647,
        "unknown_characters": [["X", 1], ["“", 1]],
    }


def test_words_and_entities_are_stored_only_where_they_say_more_than_the_tokens(
    tmp_path, write_documents: Callable, vocabulary_folder
):
    documents = write_documents(["我爱北京。playing"])
    counts, table = build(documents, vocabulary_folder, tmp_path / "out", segmenter="none")
    assert table.column_names == ["doc_id", "input_ids", "sentence_lengths"]
    assert (counts["words"], counts["entities"]) == (6, 0)


def test_bytes_do_not_depend_on_the_size_of_chunks(tmp_path, write_documents: Callable, vocabulary_folder, monkeypatch):
    documents = write_documents([text * 3 for text in ("我爱北京。", "", "play ing.", "好！走吧！")] * 9)
    _, expected = build(documents, vocabulary_folder, tmp_path / "one")
    for chunk_bytes in (1, 100):
        monkeypatch.setattr(tokens, "CHUNK_BYTES", chunk_bytes)
        _, table = build(documents, vocabulary_folder, tmp_path / f"out-{chunk_bytes}")
        assert table.to_pylist() == expected.to_pylist()


def test_bytes_do_not_depend_on_the_number_of_threads(
    tmp_path, write_documents: Callable, vocabulary_folder, monkeypatch
):
    monkeypatch.setattr(tokens, "CHUNK_BYTES", 100)
    documents = write_documents([text * 3 for text in ("我爱北京。", "", "鼯play ing.", "好！走吧！")] * 40)
    results = []
    for num_threads in (1, 2, 5):
        out = tmp_path / f"threads-{num_threads}"
        out.mkdir()
        counts = build_tokens(
            documents, vocabulary_folder, WordsConfig(segmenter="none"), [], out, num_threads=num_threads
        )
        results.append((counts, [path.read_bytes() for path in sorted(out.iterdir())]))
    assert results[0] == results[1] == results[2]
    assert results[0][0]["documents"] == 120


def test_segmenting_in_processes_gives_equal_bytes(tmp_path, write_documents: Callable, vocabulary_folder, monkeypatch):
    documents = write_documents(["我爱北京。\nplay", "", "北京𠀀走吧！"] * 30)
    monkeypatch.setattr(tokens, "CHUNK_BYTES", 200)
    build(documents, vocabulary_folder, tmp_path / "here")
    monkeypatch.setattr(tokens, "BYTES_FOR_PROCESSES", 0)
    (tmp_path / "there").mkdir()
    build_tokens(documents, vocabulary_folder, WordsConfig(segmenter="rjieba"), [], tmp_path / "there", num_threads=2)
    assert [path.read_bytes() for path in sorted((tmp_path / "here").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "there").iterdir())
    ]


def test_two_runs_give_equal_bytes(tmp_path, write_documents: Callable, vocabulary_folder):
    documents = write_documents(["我爱北京。playing"] * 5)
    for name in ("one", "two"):
        build(documents, vocabulary_folder, tmp_path / name)
    assert [path.read_bytes() for path in sorted((tmp_path / "one").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "two").iterdir())
    ]


def test_no_documents_give_an_empty_shard(tmp_path, write_documents: Callable, vocabulary_folder):
    counts, table = build(write_documents([]), vocabulary_folder, tmp_path / "out")
    assert (table.num_rows, counts["documents"], counts["unknown_share"]) == (0, 0, 0.0)


def test_unknown_characters_come_most_frequent_first(tmp_path, write_documents: Callable, vocabulary_folder):
    documents = write_documents(["鼯鼠鼠 鼠", "".join(chr(0x5000 + i) for i in range(30))])
    counts, _ = build(documents, vocabulary_folder, tmp_path / "out", segmenter="none")
    assert len(counts["unknown_characters"]) == 20
    assert counts["unknown_characters"][:3] == [["鼠", 3], ["倀", 1], ["倁", 1]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.sampled_from("我好。！a. \n“”b"), max_size=30), max_size=6))
def test_sentences_add_up_to_their_rows(texts: list[str]):
    tokenized = TOKENIZER.encode(texts)
    lengths, row_offsets, num_characters = sentence_lengths(texts, tokenized)
    assert num_characters == sum(map(len, texts))
    assert (lengths > 0).all()
    for row in range(len(texts)):
        num_tokens = tokenized.row_offsets[row + 1] - tokenized.row_offsets[row]
        assert lengths[row_offsets[row] : row_offsets[row + 1]].sum() == num_tokens


def test_progress_counts_documents(tmp_path, write_documents: Callable, vocabulary_folder):
    seen = []
    out = tmp_path / "out"
    out.mkdir()
    build_tokens(
        write_documents(["我"] * 4), vocabulary_folder, WordsConfig(), [], out, lambda *values, **_: seen.append(values)
    )
    assert seen[-1] == (4, 4, "documents")
