"""Cross-entropy over a large vocabulary on CPU: loss, hits and gradient of a row while it lies in the cache.

Written out of torch's operations this takes six passes over all logits in float32, a quarter of the step of a small
model; here the logits are read once in their own format and the gradient is written once.

Source: the gradient of cross-entropy, softmax less one-hot.
"""

import numpy as np
from numba import njit

from bert_core.model.bfloat16 import exp_of_nonpositive, narrow, widen

LANES = 64
"""Numbers that are worked on side by side."""


@njit(cache=True, nogil=True)
def rows_float32(
    logits: np.ndarray, labels: np.ndarray, scale: float, losses: np.ndarray, hits: np.ndarray, gradient: np.ndarray
) -> None:
    """Fill `losses` and `hits`, and `gradient` where it has rows.

    Args:
        logits: (N, V), float32.
        labels: (N,), int64; rows with a negative one count for nothing.
        scale: factor of the gradient.
        losses: (N,), float64; gets the cross-entropy of each row, nats.
        hits: (N,), bool; gets whether the first highest logit is the label's.
        gradient: (N, V) as `logits`, or (0, V); gets scale * (softmax - one-hot).
    """
    row = np.empty(logits.shape[1], np.float32)
    for n in range(len(labels)):
        if labels[n] < 0:
            losses[n], hits[n] = 0.0, False
            if len(gradient):
                gradient[n] = 0
            continue
        source = logits[n]
        for i in range(len(row)):
            row[i] = source[i]
        losses[n], hits[n], total = _exponentials(row, labels[n])
        if len(gradient):
            target, factor = gradient[n], np.float32(scale / total)
            correction = row[labels[n]] * factor - np.float32(scale)
            for i in range(len(row)):
                target[i] = row[i] * factor
            target[labels[n]] = correction


@njit(cache=True, nogil=True)
def rows_bfloat16(
    logits: np.ndarray, labels: np.ndarray, scale: float, losses: np.ndarray, hits: np.ndarray, gradient: np.ndarray
) -> None:
    """Do as `rows_float32` on bfloat16 as uint16; the gradient is rounded once, half to even."""
    row = np.empty(logits.shape[1], np.float32)
    for n in range(len(labels)):
        if labels[n] < 0:
            losses[n], hits[n] = 0.0, False
            if len(gradient):
                gradient[n] = 0
            continue
        source = logits[n]
        for i in range(len(row)):
            row[i] = widen(source[i])
        losses[n], hits[n], total = _exponentials(row, labels[n])
        if len(gradient):
            target, factor = gradient[n], np.float32(scale / total)
            correction = row[labels[n]] * factor - np.float32(scale)
            for i in range(len(row)):
                target[i] = narrow(row[i] * factor)
            target[labels[n]] = narrow(np.float32(correction))


@njit(cache=True, nogil=True)
def _exponentials(row: np.ndarray, label: int) -> tuple[float, bool, float]:
    """Replace a row x by exp(x - max x); return its loss, whether it is a hit, and the sum of what it holds now."""
    lanes = np.full(LANES, -np.inf, np.float32)
    whole = len(row) // LANES * LANES
    for start in range(0, whole, LANES):
        part = row[start : start + LANES]
        for i in range(LANES):
            lanes[i] = part[i] if part[i] > lanes[i] else lanes[i]
    highest = lanes.max()
    for i in range(whole, len(row)):
        highest = max(highest, row[i])
    at_label = row[label]
    is_hit = at_label == highest
    if is_hit:
        for i in range(label):
            if row[i] == highest:
                is_hit = False
                break
    lanes[:] = 0
    for start in range(0, whole, LANES):
        part = row[start : start + LANES]
        for i in range(LANES):
            part[i] = exp_of_nonpositive(np.float32(part[i] - highest))
            lanes[i] += part[i]
    total = 0.0
    for i in range(LANES):
        total += lanes[i]
    for i in range(whole, len(row)):
        row[i] = exp_of_nonpositive(row[i] - highest)
        total += row[i]
    return np.log(total) - (at_label - highest), is_hit, total
