"""Documents that give away a dev or test text: found before any pretraining reads them.

Texts are compared in their normalised form (`clean.normalise`), so width, case, spaces and punctuation
hide nothing. A document is contaminated where it equals a held-out text, contains one, or lies inside
one; for the last two, the shorter text must have at least 12 characters, because shorter ones are common
phrases. A document that is clean so far is near where it holds a held-out text with small changes
(`near_containment.py`). Paraphrases are not found.

Containment of many texts in a document goes through one Aho-Corasick automaton (Aho and Corasick 1975);
whether a document lies inside a held-out text is asked only where the hash of its first 12 characters
occurs in one.
"""

from collections.abc import Iterable, Sequence

import numpy as np

MIN_CHARACTERS = 12
CLEAN, EQUAL, CONTAINS, INSIDE, NEAR = 0, 1, 2, 3, 4
KINDS = {EQUAL: "equal", CONTAINS: "contains", INSIDE: "inside", NEAR: "near"}

_FACTORS = np.cumprod(np.full(MIN_CHARACTERS, 0x9E3779B97F4A7C15, np.uint64))


class HeldOutTexts:
    """Held-out texts, indexed for the four questions."""

    def __init__(self, normalised: Iterable[str]) -> None:
        from ahocorasick_rs import AhoCorasick

        from bert_core.corpus.near_containment import NearContainment

        self._all = {text for text in normalised if text}
        long = sorted(text for text in self._all if len(text) >= MIN_CHARACTERS)
        self._automaton = AhoCorasick(long) if long else None
        self._joined = "\n".join(long)
        self._begins = np.unique(_window_hashes(self._joined))
        self._near = NearContainment(long)

    def __len__(self) -> int:
        return len(self._all)

    def kinds_of(self, normalised: Sequence[str]) -> np.ndarray:
        """Say how each document is contaminated.

        Example: with the held-out text "abcdefghijklmno", the document "abcdefghijklmno" is EQUAL,
        "xabcdefghijklmnox" CONTAINS it, "bcdefghijklmn" lies INSIDE it, and "bcdef" is CLEAN.

        Args:
            normalised: `clean.normalise` of each document.

        Returns:
            CLEAN, EQUAL, CONTAINS, INSIDE or NEAR, uint8 shape (num_documents,).
        """
        kinds = np.full(len(normalised), CLEAN, np.uint8)
        if not self._all:
            return kinds
        for index, text in enumerate(normalised):
            if text in self._all:
                kinds[index] = EQUAL
            elif self._automaton is None or len(text) < MIN_CHARACTERS:
                continue
            elif self._automaton.find_matches_as_indexes(text):
                kinds[index] = CONTAINS
            elif self._may_lie_inside(text) and text in self._joined:
                kinds[index] = INSIDE
            elif self._near.found_in(text):
                kinds[index] = NEAR
        return kinds

    def _may_lie_inside(self, text: str) -> bool:
        begin = _window_hashes(text[:MIN_CHARACTERS])[0]
        place = int(np.searchsorted(self._begins, begin))
        return place < len(self._begins) and self._begins[place] == begin


def _window_hashes(text: str) -> np.ndarray:
    """Hash every run of 12 characters, uint64 shape (max(0, len(text) - 11),)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    num_windows = max(0, len(codes) - MIN_CHARACTERS + 1)
    hashes = np.zeros(num_windows, np.uint64)
    for place, factor in enumerate(_FACTORS):
        hashes += codes[place : place + num_windows] * factor
    return hashes
