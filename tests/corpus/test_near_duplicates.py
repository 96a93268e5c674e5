"""Near duplicates: signatures agree as often as sets overlap, and the first of similar documents is kept."""

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.corpus.deduplicate import find_near_duplicates
from bert_core.corpus.minhash import bands, jaccard, shingles, signature
from bert_core.corpus.near_duplicates import near_duplicates_of
from bert_core.randomness import draws, key_of


def text_of(name: str, num_characters: int = 400) -> str:
    """A text of Han characters drawn by name."""
    return "".join(chr(0x4E00 + int(draw % np.uint64(3000))) for draw in draws(key_of(name), num_characters))


def changed(text: str, every: int) -> str:
    """The text with one character in `every` replaced."""
    return "".join("改" if place % every == every - 1 else one for place, one in enumerate(text))


def runs_of(text: str) -> set[str]:
    return {text[place : place + 5] for place in range(max(1, len(text) - 4))}


@settings(deadline=None)  # the first texts load compiled code
@given(st.text("甲乙丙", max_size=30), st.text("甲乙丙", max_size=30))
def test_the_jaccard_index_is_that_of_sets_of_runs(first: str, second: str):
    one, two = (runs_of(text) if text else set() for text in (first, second))
    expected = len(one & two) / len(one | two) if one | two else 0.0
    assert jaccard(shingles(first), shingles(second)) == pytest.approx(expected)


def test_signatures_agree_as_often_as_datasketch_says():
    ours, theirs, true = [], [], []
    for number in range(40):
        first = text_of(f"text {number}")
        second = changed(first, 8 + number)
        true.append(jaccard(shingles(first), shingles(second)))
        ours.append(float((signature(first) == signature(second)).mean()))
        sketches = [MinHash(112), MinHash(112)]
        for sketch, text in zip(sketches, (first, second), strict=True):
            sketch.update_batch([run.encode() for run in runs_of(text)])
        theirs.append(sketches[0].jaccard(sketches[1]))
    errors = [np.abs(np.array(some) - true) for some in (ours, theirs)]
    assert abs(np.mean(np.array(ours) - true)) < 0.03
    assert errors[0].mean() < 1.5 * errors[1].mean() + 0.01


def test_pairs_that_share_a_band_are_those_that_datasketch_finds():
    texts = [text_of(f"base {number}") for number in range(30)]
    texts += [changed(text, 60) for text in texts[:15]]  # similar: about 0.85
    index = MinHashLSH(num_perm=112, params=(14, 8))
    theirs, ours, seen = set(), set(), {}
    for place, text in enumerate(texts):
        sketch = MinHash(112)
        sketch.update_batch([run.encode() for run in runs_of(text)])
        theirs |= {(int(other), place) for other in index.query(sketch)}
        index.insert(str(place), sketch)
        for band in bands(text).tolist():
            ours |= {(other, place) for other in seen.get(band, [])}
            seen.setdefault(band, []).append(place)
    assert ours == theirs == {(number, 30 + number) for number in range(15)}


def test_likeness_is_not_passed_on_by_documents_that_are_left_out():
    in_one_band = np.zeros((4, 1), np.uint64)
    similar = {(0, 1), (1, 2), (0, 3)}
    assert find_near_duplicates(in_one_band, lambda one, two: (one, two) in similar).tolist() == [0, 0, 2, 0]


def test_documents_in_different_bands_are_never_compared():
    bands_of_rows = np.array([[1, 2], [3, 4], [5, 2]], np.uint64)
    asked: list[tuple[int, int]] = []

    def are_similar(one: int, two: int) -> bool:
        asked.append((one, two))
        return True

    assert find_near_duplicates(bands_of_rows, are_similar).tolist() == [0, 1, 0]
    assert asked == [(0, 2)]


def test_the_first_of_similar_documents_is_kept_across_tables():
    first, other = text_of("first"), text_of("other")
    tables = [
        pa.table({"text": [other, first, "！！"]}),
        pa.table({"text": [changed(first, 100), "？？", changed(first, 12), other + "尾"]}),
    ]
    assert near_duplicates_of(tables, np.arange(7), 0.8).tolist() == [0, 1, 2, 1, 4, 5, 0]
    assert near_duplicates_of(tables, np.array([2, 3, 6]), 0.8).tolist() == [0, 1, 2]
    assert near_duplicates_of(tables, np.zeros(0, np.int64), 0.8).tolist() == []
