"""Numbers inside compiled kernels: bfloat16 as the upper half of a float32, and an exponential that vectorises.

numba knows no bfloat16; tensors of it are handed to kernels as uint16. Loops that call these functions are turned into
vector instructions as long as they go over slices and not over `array[start + i]`, whose index might be negative.

Source: Cephes' expf (Moshier 1989) for the polynomial and the split of ln 2.
"""

import numpy as np
from numba import njit

_SMALLEST = np.float32(-87.0)
_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUNDING = np.float32(12582912.0)  # 1.5 * 2**23: what is added to it loses its fraction
_HALF, _ONE = np.float32(0.5), np.float32(1.0)
_C3, _C4 = np.float32(1.6666665459e-1), np.float32(4.1665795894e-2)
_C5, _C6, _C7 = np.float32(8.3334519073e-3), np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)


@njit(cache=True, nogil=True)
def widen(bits: np.uint16) -> np.float32:
    """Return a bfloat16 as float32: `0x3FC0` -> `1.5`."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@njit(cache=True, nogil=True)
def narrow(value: np.float32) -> np.uint16:
    """Return the nearest bfloat16, ties to even: `1.5` -> `0x3FC0`. Not a number stays that where it came from."""
    bits = np.float32(value).view(np.uint32)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@njit(cache=True, nogil=True)
def exp_of_nonpositive(x: np.float32) -> np.float32:
    """Return e**x of x <= 0 to a relative 1e-7, 0 below -87 (e**-87 is 1.6e-38); not a number stays that."""
    raised = x if x > _SMALLEST else (_SMALLEST if x <= _SMALLEST else x)
    rounded = np.float32(raised * _LOG2_E + _ROUNDING)
    whole = rounded - _ROUNDING
    r = (raised - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = ((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _HALF
    p = (p * r) * r + r + _ONE
    power_of_two = np.int32((np.float32(rounded).view(np.int32) + np.int32(127)) << np.int32(23))
    return np.float32(0.0) if x < _SMALLEST else p * np.int32(power_of_two).view(np.float32)
