"""Held-out texts that stand in a document with small changes: most of their runs of 6 characters are in it.

A held-out text of 20 characters or more counts as found where at least 75% of its distinct runs of 6 characters occur
in the document, wherever they stand. One changed character spoils at most 6 runs, so a text of 50 characters is found
with one change in it, one of 200 with eight. Shorter texts are left to exact search, and so is a document that lies
inside a held-out text.

Source: the measure is Broder's containment (1997), the use of runs of characters that of n-gram overlap between
evaluation sets and training text (Brown et al. 2020, appendix C).
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from bert_core.corpus.code_points import code_points

RUN_CHARACTERS = 6
MIN_TEXT_CHARACTERS = 20
MIN_SHARE = 0.75
_EMPTY = -1


class NearContainment:
    """Held-out texts, indexed by their runs."""

    def __init__(self, normalised: Sequence[str]) -> None:
        long = [text for text in normalised if len(text) >= MIN_TEXT_CHARACTERS]
        runs = [np.unique(_run_hashes(code_points(text))) for text in long]
        sizes = np.array([len(some) for some in runs], np.int64)
        self._needed = np.ceil(sizes * MIN_SHARE).astype(np.int64)
        together = np.concatenate(runs) if runs else np.zeros(0, np.uint64)
        order = np.argsort(together, kind="stable")
        self._texts = np.repeat(np.arange(len(long)), sizes)[order]
        distinct, first = np.unique(together[order], return_index=True)
        self._offsets = np.append(first, len(together)).astype(np.int64)
        num_places = 1 << max(4, int(4 * len(distinct)).bit_length())
        self._keys, self._run_at = _hash_table(distinct, num_places)

    def found_in(self, normalised: str) -> bool:
        """Say whether a document holds one of the texts, nearly.

        Example: with the text "abcdefghijklmnopqrstuvwxyz0123456789" the document "...abcdefghijklmnopqrstuvwxyz01234"
        holds 26 of its 31 runs and is found.
        """
        if not len(self._needed) or len(normalised) < RUN_CHARACTERS:
            return False
        hashes = _run_hashes(code_points(normalised))
        return bool(_is_found(hashes, self._keys, self._run_at, self._offsets, self._texts, self._needed))


@njit(cache=True, nogil=True)
def _run_hashes(points):
    hashes = np.empty(max(0, points.size - RUN_CHARACTERS + 1), np.uint64)
    for place in range(hashes.size):
        value = np.uint64(0)
        for step in range(RUN_CHARACTERS):
            value = value * np.uint64(0x9E3779B97F4A7C15) + np.uint64(points[place + step])
        hashes[place] = value ^ (value >> np.uint64(32))
    return hashes


@njit(cache=True, nogil=True)
def _hash_table(distinct, num_places):
    """Lay hashes out by their low bits; a place that is taken passes on to the next."""
    keys = np.zeros(num_places, np.uint64)
    run_at = np.full(num_places, _EMPTY, np.int64)
    for run in range(distinct.size):
        place = distinct[run] & np.uint64(num_places - 1)
        while run_at[place] != _EMPTY:
            place = (place + np.uint64(1)) & np.uint64(num_places - 1)
        keys[place], run_at[place] = distinct[run], run
    return keys, run_at


@njit(cache=True, nogil=True)
def _is_found(hashes, keys, run_at, offsets, texts, needed):
    is_counted = np.zeros(offsets.size - 1, np.bool_)
    num_found = np.zeros(needed.size, np.int64)
    last = np.uint64(keys.size - 1)
    for one in hashes:
        place = one & last
        while run_at[place] != _EMPTY and keys[place] != one:
            place = (place + np.uint64(1)) & last
        run = run_at[place]
        if run == _EMPTY or is_counted[run]:
            continue
        is_counted[run] = True
        for text in texts[offsets[run] : offsets[run + 1]]:
            num_found[text] += 1
            if num_found[text] >= needed[text]:
                return True
    return False
