"""Dropout on CPU in one pass: 16 bits of a hash of (key, place of the element) decide each element.

Drawing nothing but hashes makes it thirty times as fast as torch's generator, which alone takes a sixth of a
training step, and the backward pass draws the same bits again instead of keeping a mask.

Source: SplitMix64 as in `bert_core/randomness.py`, restated here for numba.
"""

import numpy as np
from numba import njit

from bert_core.model.bfloat16 import narrow, widen

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
BLOCK = 256
"""Elements whose bits are drawn at once, a quarter as many draws; loops of a fixed length are vectorised."""


@njit(cache=True, nogil=True)
def _draw_block(key: np.uint64, first_draw: int, bits: np.ndarray) -> None:
    """Fill `bits` (uint64, BLOCK // 4) with draws `first_draw ..` of `key`."""
    first = key + np.uint64(first_draw + 1) * _GAMMA
    for i in range(BLOCK // 4):
        z = first + np.uint64(i) * _GAMMA
        z = (z ^ (z >> np.uint64(30))) * _M1
        z = (z ^ (z >> np.uint64(27))) * _M2
        bits[i] = z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def drop_float32(values: np.ndarray, key: np.uint64, threshold: int, first: int, out: np.ndarray) -> None:
    """Write values / (1 - threshold / 65536) to `out`, or 0 where the element's 16 bits are below `threshold`.

    Args:
        values: float32, flat.
        key: of this call.
        threshold: dropped share in 65536ths, 0 to 65535.
        first: place of the first value in its tensor, a multiple of 4.
        out: float32, flat, as long; may be `values`.
    """
    scale = np.float32(65536.0 / (65536.0 - threshold))
    limit = np.uint16(threshold)
    bits = np.empty(BLOCK // 4, np.uint64)
    parts = bits.view(np.uint16)
    for start in range(0, len(values), BLOCK):
        _draw_block(key, (first + start) // 4, bits)
        source, target = values[start : start + BLOCK], out[start : start + BLOCK]
        if len(source) == BLOCK:
            for i in range(BLOCK):
                target[i] = source[i] * scale if parts[i] >= limit else np.float32(0.0)
        else:
            for i in range(len(source)):
                target[i] = source[i] * scale if parts[i] >= limit else np.float32(0.0)


@njit(cache=True, nogil=True)
def drop_bfloat16(values: np.ndarray, key: np.uint64, threshold: int, first: int, out: np.ndarray) -> None:
    """Do as `drop_float32` on bfloat16; products are rounded half to even.

    Args:
        values: bfloat16 as uint16, flat.
        key: of this call.
        threshold: dropped share in 65536ths, 0 to 65535.
        first: place of the first value in its tensor, a multiple of 4.
        out: bfloat16 as uint16, flat, as long; may be `values`.
    """
    scale = np.float32(65536.0 / (65536.0 - threshold))
    limit = np.uint16(threshold)
    bits = np.empty(BLOCK // 4, np.uint64)
    parts = bits.view(np.uint16)
    for start in range(0, len(values), BLOCK):
        _draw_block(key, (first + start) // 4, bits)
        source, target = values[start : start + BLOCK], out[start : start + BLOCK]
        if len(source) == BLOCK:
            for i in range(BLOCK):
                target[i] = narrow(widen(source[i]) * scale) if parts[i] >= limit else np.uint16(0)
        else:
            for i in range(len(source)):
                target[i] = narrow(widen(source[i]) * scale) if parts[i] >= limit else np.uint16(0)
