"""Ranges of tokens: long texts in overlapping windows, the heads of texts, ranges laid out one after the other.

Each token of a windowed text is scored in the one window where it has most context. Only numbers are handled here.

Source: Devlin et al. 2019, released code for SQuAD: windows with a stride, and the rule of most context.
"""

from dataclasses import dataclass

import numpy as np

_OVERLAP_SHARE = 4  # by default windows share a quarter of their tokens with the next


@dataclass(frozen=True, slots=True)
class Windows:
    """Ranges of tokens that become examples, int64 shape (num_windows,); offsets are within their text."""

    rows: np.ndarray
    """Text of each window, ascending."""
    starts: np.ndarray
    """First token."""
    ends: np.ndarray
    """One past the last token."""
    scored_starts: np.ndarray
    """First token that is scored here."""
    scored_ends: np.ndarray
    """One past the last token that is scored here."""


def cut_windows(lengths: np.ndarray, room: int | np.ndarray, stride: int | np.ndarray | None = None) -> Windows:
    """Cover texts with overlapping windows, each token scored in the window where it has most context.

    A token's context is its distance to the nearer end of the window, so it belongs to the window whose middle is
    nearest (the first of two). The last window of a long text is moved back until it is full.

    Example: a text of 10 tokens and room for 8 -> windows [0, 8) and [2, 10), scored [0, 5) and [5, 10).

    Args:
        lengths: tokens of each text, shape (num_texts,).
        room: tokens of a window, without special tokens; one number for each text where it is an array.
        stride: tokens between the beginnings of neighbouring windows, `room` at most; None for three quarters of it.
    """
    lengths = np.asarray(lengths, np.int64)
    room = np.broadcast_to(np.asarray(room, np.int64), lengths.shape)
    stride = room - room // _OVERLAP_SHARE if stride is None else np.broadcast_to(stride, lengths.shape)
    num_windows = 1 + np.maximum(0, -(-(lengths - room) // stride))
    rows = np.repeat(np.arange(len(lengths)), num_windows)
    number = ranges(np.zeros(len(lengths), np.int64), num_windows)
    starts = np.minimum(number * stride[rows], np.maximum(0, lengths - room)[rows])
    ends = np.minimum(starts + room[rows], lengths[rows])
    scored_starts, scored_ends = np.zeros(len(rows), np.int64), lengths[rows]
    goes_on = np.flatnonzero(rows[1:] == rows[:-1])
    borders = (starts[goes_on] + starts[goes_on + 1] + room[rows[goes_on]] - 1) // 2 + 1
    scored_ends[goes_on] = scored_starts[goes_on + 1] = borders
    return Windows(rows, starts, ends, scored_starts, scored_ends)


def heads(lengths: np.ndarray, room: int) -> Windows:
    """Keep the first tokens of each text."""
    ends = np.minimum(lengths, room)
    zeros = np.zeros(len(lengths), np.int64)
    return Windows(np.arange(len(lengths)), zeros, ends, zeros, ends)


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Lay ranges out one after the other: starts `[5, 0]`, lengths `[2, 3]` -> `[5, 6, 0, 1, 2]`."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
