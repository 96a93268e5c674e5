"""The compiled loop that lays masked examples out as a padded batch, in one pass over the tokens.

Nothing is masked or read here (`masking.py`, `reader.py`), and no tensor is made.
"""
# ruff: noqa: N806 -- capitals at the end of a name are axes

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def pad_examples(input_ids, masked_ids, is_target, offsets, length_a, width, pad_id):
    """Pad examples to one width and list what is to be predicted.

    Example: with width 6 and pad_id 0, ids `[2 7 3 8 3]` of length_a 1 give the row `[2 7 3 8 3 0]` with segments
    `[0 0 0 1 1 0]`.

    Args:
        input_ids: tokens of all examples one after the other, int32 (num_tokens,).
        masked_ids: the same after masking.
        is_target: 1 where a token is to be predicted, uint8 (num_tokens,).
        offsets: first token of each example and the end, int64 (num_examples + 1,).
        length_a: tokens of A; segment 0 is the first length_a + 2 tokens.
        width: tokens of a row, at least those of the longest example.
        pad_id: id of [PAD].

    Returns:
        masked ids and segments, int64 (num_examples, width); places of the targets in the padded batch
        (example * width + position, ascending) and their true ids, int64 (num_targets,).
    """
    num_examples = offsets.size - 1
    ids_BS = np.empty((num_examples, width), np.int64)
    segments_BS = np.empty((num_examples, width), np.int64)
    places, true_ids = np.empty(is_target.size, np.int64), np.empty(is_target.size, np.int64)
    num_targets = 0
    for row in range(num_examples):
        start, length = offsets[row], offsets[row + 1] - offsets[row]
        first_b = min(length_a[row] + 2, length)
        ids, segments = ids_BS[row], segments_BS[row]
        masked, true = masked_ids[start : start + length], input_ids[start : start + length]
        target = is_target[start : start + length]
        for position in range(length):
            ids[position] = masked[position]
        ids[length:] = pad_id
        segments[:first_b] = 0
        segments[first_b:length] = 1
        segments[length:] = 0
        for position in range(length):  # written at every token, kept at targets: no branch to be guessed
            index = np.uint64(num_targets)  # unsigned: an index that cannot be negative is looked up faster
            places[index], true_ids[index] = row * width + position, true[position]
            num_targets += target[position]
    return ids_BS, segments_BS, places[:num_targets].copy(), true_ids[:num_targets].copy()
