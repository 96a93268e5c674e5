"""Sentence ends from bytes are those of the pattern."""

import gzip
import json
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.corpus.sentence_kernel import sentence_ends
from bert_core.corpus.sentences import ABBREVIATIONS, split_sentences
from bert_core.tokens.arrow_texts import utf8_of

GENERAL = Path(__file__).parents[2].parent / "shared" / "data" / "general"
PIECES = st.sampled_from(
    [*'今天ab1AM。！？；…，.!?,;:"”’」）)] \n\t=&/、_é٣\u3000\x85\x1c\U00020000', *ABBREVIATIONS, "No", "..", "。”"]
)


def sentences_of(texts: list[str]) -> list[list[str]]:
    [(data, offsets)] = utf8_of(texts)
    ends, row_offsets = sentence_ends(data, offsets)
    rows = []
    for row in range(len(texts)):
        borders = [offsets[row], *ends[row_offsets[row] : row_offsets[row + 1]]]
        rows.append([bytes(data[begin:end]).decode() for begin, end in pairwise(borders)])
    return rows


def test_worked_ends():
    [(data, offsets)] = utf8_of(["好。走吧！", "", "a"])
    ends, row_offsets = sentence_ends(data, offsets)
    assert ends.tolist() == [6, 15, 16]
    assert row_offsets.tolist() == [0, 2, 2, 3]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(PIECES | st.characters(exclude_categories=("Cs",)), max_size=25).map("".join), max_size=8))
def test_ends_are_those_of_the_pattern(texts: list[str]):
    assert sentences_of(texts) == [split_sentences(text) for text in texts]


@pytest.mark.parametrize("word", [*ABBREVIATIONS, "No", "X", "approxx", "Xetc", "中etc", "1etc", "_etc", ".etc", "éMr"])
@pytest.mark.parametrize("behind", [". A", ". a", ".", ".. A", ". 5", ".5", ".) B", ".”", ". \n"])
def test_words_before_a_full_stop(word: str, behind: str):
    texts = [f"{before}{word}{behind}" for before in ("", " ", "(", "又 ", "x.")]
    assert sentences_of(texts) == [split_sentences(text) for text in texts]


def test_every_code_point_counts_as_in_the_pattern():
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    runs = [
        "".join(points[first : first + 512]) for first in range(0, len(points), 512) if first < 0x4000 or first > 0xF000
    ]
    for frame in ("。{}", "{}Mr. A", "No. {}"):
        texts = [" ".join(frame.format(point) for point in run) for run in runs]
        assert sentences_of(texts) == [split_sentences(text) for text in texts]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["。" * 500_000 + "，", "!" * 500_000 + "a", "." * 500_000 + "a", "No." * 300_000])
def test_long_refused_runs_take_linear_time(text: str):
    assert "".join(sentences_of([text])[0]) == text


@pytest.mark.parametrize("name", ["classics_modern", "lctt_articles"])
def test_real_text_is_cut_alike(name: str):
    path = GENERAL / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("needs the shared corpora")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in islice(lines, 200)]
    assert sentences_of(texts) == [split_sentences(text) for text in texts]
