"""Texts as callers hold them (a list of strings, an Arrow column) in the forms that the work needs.

Nothing here looks into the texts.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from bert_core.errors import RequestError

Texts: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray
"""Strings, one a row; a null counts as an empty text."""


def text_rows(texts: Texts) -> list[str]:
    """Return texts as a list of strings."""
    arrow: Any = texts
    rows = arrow.to_pylist() if isinstance(texts, pa.Array | pa.ChunkedArray) else texts
    return [text or "" for text in rows]


def utf8_of(texts: Texts, *, may_end_in_nul: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return texts as UTF-8, one pair for each chunk of a chunked column; Arrow's bytes are not copied.

    Args:
        texts: strings, one a row.
        may_end_in_nul: rows may come with a NUL behind them, which is faster where the caller passes over it.

    Returns:
        Pairs of uint8 bytes and int64 (num_texts + 1,) offsets of the rows in them; the first need not be 0.

    Raises:
        RequestError: a string is no Unicode text (it holds a lone surrogate).
    """
    column: Any = texts
    if isinstance(texts, pa.ChunkedArray):
        return [pair for chunk in column.chunks for pair in utf8_of(chunk)]
    if not isinstance(texts, pa.Array):
        return [_utf8_of_rows(text_rows(texts), may_end_in_nul)]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.large_string())
    if column.null_count:
        column = column.fill_null("")
    _, offset_buffer, data_buffer = column.buffers()
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    offsets = np.zeros(1, width)
    if len(column):
        offsets = np.frombuffer(offset_buffer, width)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    data.flags.writeable = False  # whether Arrow's buffer could be written to: kernels are compiled for one type
    return [(data, offsets.astype(np.int64))]


def _utf8_of_rows(rows: list[str], may_end_in_nul: bool) -> tuple[np.ndarray, np.ndarray]:
    # not pa.array(rows), which imports pandas; joined first, because to encode each costs more than to tokenize it
    try:
        if may_end_in_nul:
            data = np.frombuffer("\0".join([*rows, ""]).encode(), np.uint8)
            ends = np.flatnonzero(data == 0) + 1
            if len(ends) == len(rows):  # else a text holds one itself
                return data, np.concatenate([np.zeros(1, np.int64), ends])
        data = np.frombuffer("".join(rows).encode(), np.uint8)
    except UnicodeEncodeError:
        raise _surrogate_of(rows) from None
    num_characters = np.fromiter(map(len, rows), np.int64, len(rows))
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(num_characters, out=offsets[1:])
    if offsets[-1] != len(data):
        from bert_core.tokens.token_kernels import byte_offsets

        byte_offsets(data, num_characters, offsets)
    return data, offsets


def _surrogate_of(rows: list[str]) -> RequestError:
    """Name the first text that cannot be encoded."""
    for text in rows:
        for place, character in enumerate(text):
            if "\ud800" <= character <= "\udfff":
                return RequestError(
                    f"text {text[max(0, place - 10) : place]!r}...: {character!a} at character {place} is a lone "
                    "surrogate, expected Unicode text; decode it with errors='replace'"
                )
    raise AssertionError("all else can be encoded")


def row_ranges(offsets: np.ndarray, num_parts: int, max_bytes: int) -> list[tuple[int, int]]:
    """Cut rows into ranges of about equal bytes.

    Args:
        offsets: int64 (num_rows + 1,), bytes.
        num_parts: wanted; a range smaller than 64 KiB is not worth a thread.
        max_bytes: of a range, where no row is longer.

    Returns:
        First row and one past the last row of each range.
    """
    num_bytes = int(offsets[-1] - offsets[0])
    num_parts = max(-(-num_bytes // max_bytes), min(num_parts, num_bytes >> 16), 1)
    wanted = offsets[0] + np.arange(1, num_parts) * num_bytes // num_parts
    borders = np.unique(np.concatenate([[0], np.searchsorted(offsets, wanted), [len(offsets) - 1]]))
    return [(int(first), int(stop)) for first, stop in pairwise(borders)]
