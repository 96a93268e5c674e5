"""The draws of `bert_core/randomness.py` restated for compiled loops; both forms give the same numbers.

A stream is a 64-bit key, its n-th value is `draw(key, n)`, and a stream within a stream is `child(key, name)`.

These functions never change: compiled loops of other files carry them in numba's cache, which would not notice.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA.
"""

import numpy as np
from numba import njit

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)


@njit(cache=True, nogil=True)
def mix(z):
    """Scramble one uint64, as `randomness.mix64`."""
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def draw(key, counter):
    """Return draw number `counter` (from 0) of a key, uint64, as `randomness.draws`."""
    return mix(key + (np.uint64(counter) + np.uint64(1)) * _GAMMA)


@njit(cache=True, nogil=True)
def child(key, name):
    """Return the key of the stream that belongs to `name` (a 64-bit id or a small number) within `key`."""
    return mix(key ^ mix(np.uint64(name) + _GAMMA))


@njit(cache=True, nogil=True)
def below(value, limit):
    """Turn the upper 32 bits of a draw into an int64 in [0, limit), limit < 2**31."""
    return np.int64(((value >> _HALF) * np.uint64(limit)) >> _HALF)


@njit(cache=True, nogil=True)
def lower_half(value):
    """Move the lower 32 bits of a draw up, where `below` and `uniform` read a second number from it."""
    return value << _HALF


@njit(cache=True, nogil=True)
def uniform(value):
    """Turn the upper 32 bits of a draw into a float64 in [0, 1)."""
    return np.float64(value >> _HALF) * (1.0 / 4294967296.0)
