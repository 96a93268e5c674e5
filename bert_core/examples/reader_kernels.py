"""The compiled loops of `reader.py`: sizes of all rows, and the gathering of some.

`places` has one line for each record batch of a file, in items of the width that each buffer has: example_id,
length_a, next_sentence_label, offsets and values of input_ids, bytes of the bits of word_starts, offsets and values of
entity_starts, values of entity_lengths. Columns of equal row lengths share the offsets of the first.
"""

import numpy as np
from numba import njit

_EXAMPLE_ID, _LENGTH_A, _LABEL, _TOKEN_OFFSETS, _TOKENS, _WORD_BITS = range(6)
_ENTITY_OFFSETS, _ENTITY_STARTS, _ENTITY_LENGTHS = range(6, 9)


@njit(cache=True, nogil=True)
def sizes_of(int32_view, places, first_rows):
    """Return tokens and entities of every row of a shard, int64 each."""
    lengths = np.empty(first_rows[-1], np.int64)
    num_entities = np.empty(first_rows[-1], np.int64)
    for batch in range(places.shape[0]):
        tokens, entities = places[batch, _TOKEN_OFFSETS], places[batch, _ENTITY_OFFSETS]
        for local in range(first_rows[batch + 1] - first_rows[batch]):
            row = first_rows[batch] + local
            lengths[row] = int32_view[tokens + local + 1] - int32_view[tokens + local]
            num_entities[row] = int32_view[entities + local + 1] - int32_view[entities + local]
    return lengths, num_entities


@njit(cache=True, nogil=True)
def gather(
    uint64_view,
    int32_view,
    uint8_view,
    token_view,
    places,
    first_rows,
    rows,
    targets,
    offsets,
    entity_offsets,
    example_ids,
    length_a,
    labels,
    input_ids,
    word_starts,
    entity_starts,
    entity_lengths,
):
    """Copy `rows` of one shard to the examples number `targets` of a laid-out batch."""
    for index in range(rows.size):
        target = targets[index]
        batch = np.searchsorted(first_rows, rows[index], side="right") - 1
        local = rows[index] - first_rows[batch]
        example_ids[target] = uint64_view[places[batch, _EXAMPLE_ID] + local]
        length_a[target] = int32_view[places[batch, _LENGTH_A] + local]
        labels[target] = int32_view[places[batch, _LABEL] + local]

        source = np.int64(int32_view[places[batch, _TOKEN_OFFSETS] + local])
        first_token, first_bit = places[batch, _TOKENS] + source, 8 * places[batch, _WORD_BITS] + source
        low, length = offsets[target], offsets[target + 1] - offsets[target]
        for token in range(length):
            bit = first_bit + token
            input_ids[low + token] = token_view[first_token + token]
            word_starts[low + token] = (uint8_view[bit >> 3] >> (bit & 7)) & 1

        source = np.int64(int32_view[places[batch, _ENTITY_OFFSETS] + local])
        low = entity_offsets[target]
        for entity in range(entity_offsets[target + 1] - low):
            entity_starts[low + entity] = int32_view[places[batch, _ENTITY_STARTS] + source + entity]
            entity_lengths[low + entity] = int32_view[places[batch, _ENTITY_LENGTHS] + source + entity]
