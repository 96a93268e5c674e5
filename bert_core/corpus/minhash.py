"""MinHash signatures of texts, for finding near duplicates: which documents may share most of their 5-grams.

A text's shingles are the runs of 5 characters of its normalised form (the whole form where it is shorter). Their
similarity is the Jaccard index of two such sets. A signature holds, for each of 112 hash functions, the least value
over the set; two signatures agree in a place with the probability of the Jaccard index. Cut into 14 bands of 8, they
share a band with probability 1 - (1 - J^8)^14: 0.92 at J = 0.8, 0.996 at 0.85, 0.01 at 0.4.

Nothing is decided here: `deduplicate.py` compares the shingles themselves of the pairs that share a band.

Source: Broder 1997, "On the resemblance and containment of documents"; banding as in Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4.
"""

import numpy as np
from numba import njit

from bert_core.corpus.code_points import code_points
from bert_core.randomness import draws, key_of

SHINGLE_CHARACTERS = 5
NUM_BANDS, ROWS_IN_BAND = 14, 8
NUM_HASHES = NUM_BANDS * ROWS_IN_BAND

_FACTORS = (draws(key_of("minhash", "factors"), NUM_HASHES) | np.uint64(1)).astype(np.uint32)
_OFFSETS = draws(key_of("minhash", "offsets"), NUM_HASHES).astype(np.uint32)


def shingles(normalised: str) -> np.ndarray:
    """Return the distinct 64-bit hashes of a text's shingles, ascending uint64; empty for the empty text.

    Example: `len(shingles("abcdefg")) == 3`, and `shingles("ab")` is one hash of the whole.
    """
    return np.unique(_shingle_hashes(code_points(normalised)))


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Jaccard index of two sets of shingles, 0 to 1; 0 where both are empty."""
    num_shared = len(np.intersect1d(first, second, assume_unique=True))
    num_together = len(first) + len(second) - num_shared
    return num_shared / num_together if num_together else 0.0


def signature(normalised: str) -> np.ndarray:
    """Return the MinHash signature of a text, uint32 (NUM_HASHES,)."""
    return _signature(_shingle_hashes(code_points(normalised)), _FACTORS, _OFFSETS)


def bands(normalised: str) -> np.ndarray:
    """Return one 64-bit hash for each band of a text's signature, uint64 (NUM_BANDS,)."""
    return _band_hashes(signature(normalised), ROWS_IN_BAND)


@njit(cache=True, nogil=True)
def _mix(value):
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _shingle_hashes(points):
    width = min(SHINGLE_CHARACTERS, points.size)
    hashes = np.empty(points.size - width + 1 if width else 0, np.uint64)
    for place in range(hashes.size):
        value = np.uint64(0)
        for step in range(width):
            value = value * np.uint64(0x9E3779B97F4A7C15) + np.uint64(points[place + step])
        hashes[place] = _mix(value)
    return hashes


@njit(cache=True, nogil=True)
def _signature(hashes, factors, offsets):
    least = np.full(factors.size, np.uint32(0xFFFFFFFF), np.uint32)
    for one in hashes:
        low = np.uint32(one >> np.uint64(32))
        for place in range(factors.size):
            value = np.uint32(np.uint32(low * factors[place]) + offsets[place])
            least[place] = min(least[place], value)
    return least


@njit(cache=True, nogil=True)
def _band_hashes(least, rows_in_band):
    found = np.empty(least.size // rows_in_band, np.uint64)
    for band in range(found.size):
        value = np.uint64(band)
        for row in range(band * rows_in_band, (band + 1) * rows_in_band):
            value = _mix(value * np.uint64(0x9E3779B97F4A7C15) + np.uint64(least[row]))
        found[band] = value
    return found
