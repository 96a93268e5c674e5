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


def string_arrays(texts: Texts) -> list[pa.Array]:
    """Return texts as Arrow string arrays without nulls, one for each chunk.

    Raises:
        RequestError: a string is no Unicode text (it holds a lone surrogate).
    """
    found: Any = texts
    if isinstance(texts, pa.ChunkedArray):
        return [chunk for one in found.chunks for chunk in string_arrays(one)]
    if not isinstance(texts, pa.Array):
        try:
            found = pa.array(list(texts), pa.large_string())
        except UnicodeEncodeError as error:
            raise RequestError(
                f"text {error.object[max(0, error.start - 10) : error.start]!r}...: {error.object[error.start]!a} at "
                f"character {error.start} is a lone surrogate, expected Unicode text; decode it with errors='replace'"
            ) from None
    if not (pa.types.is_string(found.type) or pa.types.is_large_string(found.type)):
        found = found.cast(pa.large_string())
    return [found.fill_null("") if found.null_count else found]


def utf8_of(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of a string array, a view, and the offsets of its rows in them.

    Returns:
        uint8 bytes and int64 (num_texts + 1,) offsets; the first need not be 0.
    """
    _, offset_buffer, data_buffer = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    offsets = np.zeros(1, width)
    if len(texts):
        offsets = np.frombuffer(offset_buffer, width)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data_buffer or b"", np.uint8), offsets.astype(np.int64)


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
