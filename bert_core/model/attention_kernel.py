"""The rows of an attention matrix on CPU: softmax of scaled scores with its dropout, and back, one pass each.

The matrix products around them are torch's.

Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.1; the gradient of softmax, p * (g - sum of p * g).
"""

import numpy as np
from numba import njit

from bert_core.model.bfloat16 import exp_of_nonpositive, narrow, widen
from bert_core.model.dropout_kernel import drop_bfloat16, drop_float32

LANES = 32
"""Numbers that are worked on side by side; rows are filled up to a multiple of it."""


@njit(cache=True, nogil=True)
def softmax_float32(
    scores: np.ndarray,
    first_row: int,
    scale: float,
    bias: np.ndarray,
    rows_per_bias: int,
    key: np.uint64,
    threshold: int,
    dropped: np.ndarray,
) -> None:
    """Replace rows of scores by softmax(scale * scores + bias), and write them to `dropped` after dropout.

    Args:
        scores: (rows, S), float32.
        first_row: number of the first row in the whole, a multiple of 4.
        scale: factor of the scores.
        bias: (examples, 1 or S, S), float32, or empty for none; added to every head of an example.
        rows_per_bias: rows of one example, heads * S.
        key: of the dropout.
        threshold: dropped share in 65536ths; 0 to leave `dropped` alone.
        dropped: (rows, S), float32.
    """
    width = scores.shape[1]
    row, lanes = np.empty(-(-width // LANES) * LANES, np.float32), np.empty(LANES, np.float32)
    for n in range(len(scores)):
        target = scores[n]
        for i in range(width):
            row[i] = target[i]
        factor = _softmax(row, lanes, width, scale, bias, (first_row + n) // rows_per_bias, (first_row + n) % width)
        for i in range(width):
            target[i] = row[i] * factor
    if threshold > 0:
        drop_float32(scores.ravel(), key, threshold, first_row * width, dropped.ravel())


@njit(cache=True, nogil=True)
def softmax_bfloat16(
    scores: np.ndarray,
    first_row: int,
    scale: float,
    bias: np.ndarray,
    rows_per_bias: int,
    key: np.uint64,
    threshold: int,
    dropped: np.ndarray,
) -> None:
    """Do as `softmax_float32` on bfloat16 as uint16; in between all is float32."""
    width = scores.shape[1]
    row, lanes = np.empty(-(-width // LANES) * LANES, np.float32), np.empty(LANES, np.float32)
    for n in range(len(scores)):
        target = scores[n]
        for i in range(width):
            row[i] = widen(target[i])
        factor = _softmax(row, lanes, width, scale, bias, (first_row + n) // rows_per_bias, (first_row + n) % width)
        for i in range(width):
            target[i] = narrow(row[i] * factor)
    if threshold > 0:
        drop_bfloat16(scores.ravel(), key, threshold, first_row * width, dropped.ravel())


@njit(cache=True, nogil=True)
def softmax_backward_float32(
    weights: np.ndarray, gradient: np.ndarray, first_row: int, scale: float, key: np.uint64, threshold: int
) -> None:
    """Replace the gradient of the dropped weights by that of the scores.

    Args:
        weights: (rows, S), float32, softmax before dropout.
        gradient: (rows, S), float32.
        first_row: as in `softmax_float32`, and so are `scale`, `key` and `threshold`.
        scale: factor of the scores.
        key: of the dropout.
        threshold: dropped share in 65536ths; 0 for none.
    """
    width = weights.shape[1]
    if threshold > 0:
        drop_float32(gradient.ravel(), key, threshold, first_row * width, gradient.ravel())
    size = -(-width // LANES) * LANES
    row, other, lanes = np.zeros(size, np.float32), np.zeros(size, np.float32), np.empty(LANES, np.float32)
    for n in range(len(weights)):
        source, target = weights[n], gradient[n]
        for i in range(width):
            row[i] = source[i]
            other[i] = target[i]
        mean = _product(row, other, lanes)
        for i in range(width):
            target[i] = row[i] * (other[i] - mean) * np.float32(scale)


@njit(cache=True, nogil=True)
def softmax_backward_bfloat16(
    weights: np.ndarray, gradient: np.ndarray, first_row: int, scale: float, key: np.uint64, threshold: int
) -> None:
    """Do as `softmax_backward_float32` on bfloat16 as uint16; in between all is float32."""
    width = weights.shape[1]
    if threshold > 0:
        drop_bfloat16(gradient.ravel(), key, threshold, first_row * width, gradient.ravel())
    size = -(-width // LANES) * LANES
    row, other, lanes = np.zeros(size, np.float32), np.zeros(size, np.float32), np.empty(LANES, np.float32)
    for n in range(len(weights)):
        source, target = weights[n], gradient[n]
        for i in range(width):
            row[i] = widen(source[i])
            other[i] = widen(target[i])
        mean = _product(row, other, lanes)
        for i in range(width):
            target[i] = narrow(row[i] * (other[i] - mean) * np.float32(scale))


@njit(cache=True, nogil=True)
def _softmax(
    row: np.ndarray, lanes: np.ndarray, width: int, scale: float, bias: np.ndarray, example: int, place: int
) -> np.float32:
    """Replace a row x by exp(y - max y), y = scale * x + bias; return 1 / the sum."""
    factor = np.float32(scale)
    for i in range(width):
        row[i] *= factor
    if bias.size:
        added = bias[example, place if bias.shape[1] > 1 else 0]
        for i in range(width):
            row[i] += added[i]
    row[width:] = -np.inf
    lanes[:] = -np.inf
    for start in range(0, len(row), LANES):
        part = row[start : start + LANES]
        for i in range(LANES):
            lanes[i] = part[i] if part[i] > lanes[i] else lanes[i]
    highest = lanes.max()
    for i in range(len(row)):
        row[i] = exp_of_nonpositive(row[i] - highest)
    lanes[:] = 0
    for start in range(0, len(row), LANES):
        part = row[start : start + LANES]
        for i in range(LANES):
            lanes[i] += part[i]
    total = np.float32(0.0)
    for i in range(LANES):
        total += lanes[i]
    return np.float32(1.0) / total


@njit(cache=True, nogil=True)
def _product(first: np.ndarray, second: np.ndarray, lanes: np.ndarray) -> np.float32:
    """Return the scalar product of two rows."""
    lanes[:] = 0
    for start in range(0, len(first), LANES):
        one, two = first[start : start + LANES], second[start : start + LANES]
        for i in range(LANES):
            lanes[i] += one[i] * two[i]
    total = np.float32(0.0)
    for i in range(LANES):
        total += lanes[i]
    return total
