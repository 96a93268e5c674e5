"""Changes of words in a text, each a list of edits of characters, with which spans of the text can be carried along.

A word is a run that the segmenter cuts out and that holds a letter, a digit or a Han character; borders of protected
spans cut as well. Only free words, those outside protected spans, are replaced, exchanged or left out, and nothing is
put inside a protected span. So such a span keeps its text, and `Edited.place` finds it again.

Not here: which records are changed, how often and why (`augmentation.py`). All draws are functions of a key.

Source: Wei and Zou 2019, EDA (arXiv:1901.11196), section 2. Unlike theirs a word is changed at most once in a copy, the
pairs of a swap are disjoint, `delete` leaves out one word at least, and words of one character stand for stop words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bert_core.randomness import permutation, uniforms
from bert_core.tokens.characters import code_points_of, is_han

Synonyms = Mapping[str, tuple[str, ...]]
MIN_CHARACTERS = 2
"""Shorter words are never taken for a synonym's source."""


class Edit(NamedTuple):
    """Characters `start` to `end` (exclusive) become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one text, in order, as ranges of characters, int64 shape (num_words,)."""

    starts: np.ndarray
    ends: np.ndarray
    is_free: np.ndarray
    """False inside protected spans, bool."""
    is_free_behind: np.ndarray
    """False where the character behind a word is protected, bool."""

    @property
    def free(self) -> np.ndarray:
        """Numbers of the free words, int64."""
        return np.flatnonzero(self.is_free)


@dataclass(frozen=True, slots=True)
class Edited:
    """A text after edits that do not overlap."""

    text: str
    _sources: np.ndarray
    _shifts: np.ndarray

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return where characters `start` to `end`, of which no edit touched the first or the last, stand now."""
        first, last = np.searchsorted(self._sources, [start, end - 1], side="right") - 1
        return start + int(self._shifts[first]), end + int(self._shifts[last])


def apply_edits(text: str, edits: Sequence[Edit]) -> Edited:
    """Apply edits, and set a space where two Latin words would grow together.

    Example: `我爱北京` with `Edit(1, 2, "热爱")` -> `我热爱北京`, in which 北京 has moved from (2, 4) to (3, 5).
    """
    pieces: list[str] = []
    sources, shifts = [], []
    length = at = 0
    for start, end, new in [*sorted(edits), Edit(len(text), len(text), "")]:
        for piece, is_untouched in ((text[at:start], True), (new, False)):
            if piece and pieces and _is_latin(pieces[-1][-1]) and _is_latin(piece[0]):
                pieces.append(" ")
                length += 1
            if piece and is_untouched:
                sources.append(at)
                shifts.append(length - at)
            if piece:
                pieces.append(piece)
                length += len(piece)
        at = end
    return Edited("".join(pieces), np.array(sources, np.int64), np.array(shifts, np.int64))


def find_words(rows: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]], segmenter: str) -> list[Words]:
    """Find the words of several texts.

    Example: `find_words(["我爱北京!"], [[(2, 4)]], "rjieba")` -> one text with starts `[0, 1, 2]`, ends `[1, 2, 4]`,
    is_free `[True, True, False]`.

    Args:
        rows: texts.
        spans: protected ranges of characters of each text, ends exclusive; they may overlap.
        segmenter: "rjieba", or "none" for every Han character and every run of other letters and digits.
    """
    from bert_core.tokens.words import borders_of

    lengths = np.array([len(row) for row in rows], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if not offsets[-1]:
        none = np.zeros(0, np.int64)
        return [Words(none, none, none.astype(bool), none.astype(bool)) for _ in rows]
    code_points = code_points_of("".join(rows))
    different, inverse = np.unique(code_points, return_inverse=True)
    is_letter = np.array([chr(code_point).isalnum() for code_point in different.tolist()])[inverse]
    borders = np.zeros(offsets[-1] + 1, bool)
    if segmenter == "rjieba":
        borders[:-1] = borders_of(list(rows))
    else:
        han = is_han(code_points)
        borders[:-1] = han
        borders[1:-1] |= han[:-1] | (is_letter[1:] != is_letter[:-1])
    borders[offsets] = True
    is_protected = np.zeros(offsets[-1] + 1, bool)
    for first, ranges in zip(offsets.tolist(), spans, strict=False):
        for start, end in ranges:
            borders[[first + start, first + end]] = True
            is_protected[first + start : first + end] = True
    cuts = np.flatnonzero(borders)
    starts, ends = cuts[:-1], cuts[1:]
    is_word = np.logical_or.reduceat(is_letter, starts)
    starts, ends = starts[is_word], ends[is_word]
    first_words = np.searchsorted(starts, offsets)
    return [
        Words(starts[a:b] - first, ends[a:b] - first, ~is_protected[starts[a:b]], ~is_protected[ends[a:b]])
        for a, b, first in zip(first_words[:-1].tolist(), first_words[1:].tolist(), offsets.tolist(), strict=False)
    ]


def replace_by_synonyms(text: str, words: Words, synonyms: Synonyms, share: float, key: np.uint64) -> list[Edit]:
    """Put a synonym in the place of a share of the words; fewer where few have synonyms."""
    known = _with_synonyms(text, words, synonyms)
    chosen = known[permutation(len(known), key)[: _num_changes(words, share)]]
    chances = uniforms(key, len(chosen), start=len(known))
    return [
        Edit(int(words.starts[word]), int(words.ends[word]), _pick(synonyms[_text_of(text, words, word)], chance))
        for word, chance in zip(chosen.tolist(), chances.tolist(), strict=True)
    ]


def insert_synonyms(text: str, words: Words, synonyms: Synonyms, share: float, key: np.uint64) -> list[Edit]:
    """Put synonyms of some words of the text behind other free words of it, each behind a word of its own."""
    known, free = _with_synonyms(text, words, synonyms), words.free
    num_changes = min(_num_changes(words, share), len(known), len(free))
    sources = known[permutation(len(known), key)[:num_changes]]
    start = len(known)
    places = words.ends[free[np.argsort(uniforms(key, len(free), start), kind="stable")[:num_changes]]]
    chances = uniforms(key, num_changes, start + len(free))
    return [
        Edit(place, place, _pick(synonyms[_text_of(text, words, source)], chance))
        for place, source, chance in zip(places.tolist(), sources.tolist(), chances.tolist(), strict=True)
    ]


def swap_words(text: str, words: Words, synonyms: Synonyms, share: float, key: np.uint64) -> list[Edit]:
    """Exchange pairs of free words; a share of the words is the number of pairs, as many as there are at most."""
    free = words.free
    num_pairs = min(_num_changes(words, share), len(free) // 2)
    pairs = free[permutation(len(free), key)[: 2 * num_pairs]].reshape(-1, 2).tolist()
    return [
        Edit(int(words.starts[one]), int(words.ends[one]), _text_of(text, words, other))
        for pair in pairs
        for one, other in (pair, pair[::-1])
    ]


def delete_words(text: str, words: Words, synonyms: Synonyms, share: float, key: np.uint64) -> list[Edit]:
    """Leave each free word out with probability `share`: one at least, and never the last that is left."""
    free = words.free
    if len(words.starts) < 2 or not len(free):
        return []
    chances = uniforms(key, len(free))
    order = np.argsort(chances, kind="stable")
    num_left_out = min(max(1, int((chances < share).sum())), len(words.starts) - 1)
    edits = []
    for word in np.sort(free[order[:num_left_out]]).tolist():
        start, end = int(words.starts[word]), int(words.ends[word])
        follows_space = start == 0 or text[start - 1].isspace()
        takes_space = follows_space and words.is_free_behind[word] and text[end : end + 1].isspace()
        edits.append(Edit(start, end + int(takes_space), ""))
    return edits


OPERATIONS = {
    "synonym": replace_by_synonyms,
    "insert": insert_synonyms,
    "swap": swap_words,
    "delete": delete_words,
}


def _with_synonyms(text: str, words: Words, synonyms: Synonyms) -> np.ndarray:
    """Numbers of the free words of two or more characters that have synonyms.

    EDA passes over stop words; in Chinese those are of one character for the most part, and mean many things.
    """
    known = words.free[(words.ends - words.starts)[words.free] >= MIN_CHARACTERS]
    return np.array([word for word in known.tolist() if _text_of(text, words, word) in synonyms], np.int64)


def _text_of(text: str, words: Words, word: int) -> str:
    return text[words.starts[word] : words.ends[word]]


def _num_changes(words: Words, share: float) -> int:
    return max(1, int(share * len(words.starts)))


def _pick(choices: tuple[str, ...], chance: float) -> str:
    return choices[int(chance * len(choices))]


def _is_latin(character: str) -> bool:
    return character.isalnum() and not is_han(np.array([ord(character)])).any()
