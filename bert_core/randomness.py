"""Random numbers as pure functions of named keys: SplitMix64 used as a counter-based generator.

A draw is `mix64(key + (counter + 1) * GAMMA)`, so the n-th draw of a key costs the same as the first and no
generator state exists that could be saved, shared or lost. Keys come from names: `key_of(seed, "masks",
epoch)`. Nothing here depends on threads, batch size, workers or the hash seed of the process.

Not for cryptography. The numpy and the numba forms give the same numbers.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA.
"""

import hashlib

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


def key_of(*names: int | str) -> np.uint64:
    """Turn a tuple of names into a 64-bit key.

    Example: `key_of(7, "masks", 0) != key_of(7, "masks", 1)`; `key_of("a", "bc") != key_of("ab", "c")`.

    Args:
        names: integers and strings; their order and kind matter.

    Returns:
        uint64 scalar.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in names:
        encoded = f"{type(name).__name__[0]}{name}".encode()
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return np.uint64(int.from_bytes(digest.digest(), "little"))


def mix64(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers so that every input bit reaches every output bit.

    Args:
        values: uint64 array or scalar.

    Returns:
        uint64, same shape.
    """
    with np.errstate(over="ignore"):
        z = np.asarray(values, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * _M1
        z = (z ^ (z >> np.uint64(27))) * _M2
        return z ^ (z >> np.uint64(31))


def draws(key: np.uint64, num_draws: int, start: int = 0) -> np.ndarray:
    """Return draws `start .. start + num_draws - 1` of `key`, uint64 shape (num_draws,)."""
    with np.errstate(over="ignore"):
        counters = np.arange(start + 1, start + num_draws + 1, dtype=np.uint64)
        return mix64(np.uint64(key) + counters * GAMMA)


def uniforms(key: np.uint64, num_draws: int, start: int = 0) -> np.ndarray:
    """Return `num_draws` float64 values uniform in [0, 1), each with 53 random bits."""
    return (draws(key, num_draws, start) >> np.uint64(11)) * (1.0 / (1 << 53))


def permutation(num_items: int, key: np.uint64) -> np.ndarray:
    """Return a random order of `range(num_items)` that depends on `key` alone, int64.

    Ties of the 64-bit sort keys are broken by index, so the order is the same on every platform.
    """
    return np.argsort(draws(key, num_items), kind="stable").astype(np.int64)


def seed_of(*names: int | str) -> int:
    """Return a seed in [0, 2**63) for a library that wants one integer (torch, scikit-learn)."""
    return int(key_of(*names) >> np.uint64(1))
