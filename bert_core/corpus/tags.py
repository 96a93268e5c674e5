"""Entity spans <-> BIO tags, for whole batches at once.

Tag ids are laid out as `O, B-x, I-x, B-y, I-y, ...` in the order of the task's labels: 0 is outside, `1 + 2k`
begins an entity of label k, `2 + 2k` goes on with one. Negative ids (-100, not scored) count as outside.

Decoding is lenient, as the field scores it: an `I-x` that follows nothing of its own type begins an entity.
Overlapping and nested spans cannot be written as BIO and are not handled here (`records.py` takes them out).

Source: Ramshaw and Marcus 1995 (IOB2 form); decoding as in seqeval 1.2.2 `get_entities`, default mode.
"""

from collections.abc import Sequence

import numpy as np


def bio_tags(labels: Sequence[str]) -> list[str]:
    """Name the tags of a set of entity types, in the order of their ids.

    Example: `bio_tags(["nr", "ns"])` -> `["O", "B-nr", "I-nr", "B-ns", "I-ns"]`.
    """
    return ["O"] + [f"{prefix}-{label}" for label in labels for prefix in ("B", "I")]


def spans_to_bio(
    char_starts: np.ndarray,
    char_ends: np.ndarray,
    token_offsets: np.ndarray,
    span_starts: np.ndarray,
    span_ends: np.ndarray,
    span_types: np.ndarray,
    span_offsets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Tag the tokens of many texts from the entity spans of their characters.

    Each token takes the tag of the first span that it shares a character with, so a token that reaches over
    the border of a span is tagged whole; the span then counts as misaligned. The first token of a span is B,
    the others are I.

    Example (one text, tokens [0,1) [1,2) [2,4), a span [1,4) of type 0):
        tags [0, 1, 2]      misaligned [False]

    Args:
        char_starts: first character of each token, shape (num_tokens,); ascending within a text.
        char_ends: one past its last character, shape (num_tokens,).
        token_offsets: tokens of text i are `token_offsets[i] : token_offsets[i + 1]`, shape (num_texts + 1,).
        span_starts: first character of each span, shape (num_spans,); ascending within a text, no overlap.
        span_ends: one past its last character, shape (num_spans,).
        span_types: index of its label, shape (num_spans,).
        span_offsets: spans of text i are `span_offsets[i] : span_offsets[i + 1]`, shape (num_texts + 1,).

    Returns:
        tag ids, int32 shape (num_tokens,), and for each span whether its tokens cover other characters
        than it does (or it has none), bool shape (num_spans,).
    """
    num_spans = len(span_starts)
    tags = np.zeros(len(char_starts), np.int32)
    misaligned = np.ones(num_spans, bool)
    if num_spans == 0 or len(char_starts) == 0:
        return tags, misaligned
    # One axis for all texts: text i lies at i * stride, so that one search serves the whole batch.
    stride = int(max(char_ends.max(), span_ends.max())) + 1
    token_base = np.repeat(np.arange(len(token_offsets) - 1) * stride, np.diff(token_offsets))
    span_base = np.repeat(np.arange(len(span_offsets) - 1) * stride, np.diff(span_offsets))
    token_starts, token_ends = char_starts + token_base, char_ends + token_base
    starts, ends = span_starts + span_base, span_ends + span_base

    nearest = np.searchsorted(ends, token_starts, side="right")  # first span that ends after the token begins
    candidate = np.minimum(nearest, num_spans - 1)
    inside = (nearest < num_spans) & (starts[candidate] < token_ends) & (token_starts < token_ends)
    tokens = np.flatnonzero(inside)
    span = candidate[tokens]
    first = np.ones(len(tokens), bool)
    first[1:] = span[1:] != span[:-1]
    tags[tokens] = 2 * np.asarray(span_types)[span] + np.where(first, 1, 2)

    last = np.ones(len(tokens), bool)
    last[:-1] = first[1:]
    covered = span[first]
    misaligned[covered] = (token_starts[tokens[first]] != starts[covered]) | (token_ends[tokens[last]] != ends[covered])
    return tags, misaligned


def decode_bio(tag_ids: np.ndarray, row_offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the entities of many rows of tags.

    Example (one row, labels x and y): `[1, 2, 4, 0]`, which is B-x I-x I-y O -> rows [0, 0], starts [0, 2],
    ends [2, 3], types [0, 1].

    Args:
        tag_ids: flat tag ids, shape (num_tokens,); negative ones count as outside.
        row_offsets: row i is `tag_ids[row_offsets[i] : row_offsets[i + 1]]`, shape (num_rows + 1,).

    Returns:
        rows, starts, ends, types: int64 arrays of shape (num_entities,), in order; starts and ends
        (exclusive) are in tokens from the first of the row, types index the labels.
    """
    tag_ids, row_offsets = np.asarray(tag_ids, np.int64), np.asarray(row_offsets, np.int64)
    types = np.where(tag_ids > 0, (tag_ids - 1) // 2, -1)
    before = np.full(len(tag_ids), -1, np.int64)
    before[1:] = types[:-1]
    before[row_offsets[:-1][np.diff(row_offsets) > 0]] = -1  # nothing goes on from the row above
    goes_on = (tag_ids > 0) & (tag_ids % 2 == 0) & (types == before)
    starts = np.flatnonzero((tag_ids > 0) & ~goes_on)
    breaks = np.append(np.flatnonzero(~goes_on), len(tag_ids))
    ends = breaks[np.searchsorted(breaks, starts, side="right")]
    rows = np.searchsorted(row_offsets, starts, side="right") - 1
    return rows, starts - row_offsets[rows], ends - row_offsets[rows], types[starts]


def bio_to_spans(tag_ids: Sequence[int] | np.ndarray, labels: Sequence[str]) -> list[tuple[int, int, str]]:
    """Find the entities of one row of tags.

    Example: `bio_to_spans([1, 2, 0, 3], ["nr", "ns"])` -> `[(0, 2, "nr"), (3, 4, "ns")]`.

    Args:
        tag_ids: shape (num_tokens,); negative ones count as outside.
        labels: entity types in the order of their ids.

    Returns:
        (first token, one past the last token, type) of each entity, in order.
    """
    tags = np.asarray(tag_ids, np.int64)
    _, starts, ends, types = decode_bio(tags, np.array([0, len(tags)]))
    return [
        (int(start), int(end), str(labels[kind]))
        for start, end, kind in zip(starts.tolist(), ends.tolist(), types.tolist(), strict=True)
    ]
