"""The compiled loops of `reader.py`: sizes of all rows, the gathering of some, and the ids of examples.

`places` has one line for each record batch of a file, in items of the width that each buffer has: length_a,
next_sentence_label, round, first_a, first_b, offsets and values of input_ids, bytes of the bits of word_starts, offsets
and values of entity_starts, values of entity_lengths; ABSENT where a column is not there. Columns of equal row lengths
share the offsets of the first.
"""

import numpy as np
from numba import njit

from bert_core.examples.draw_kernels import child
from bert_core.store.schemas import NO_PAIR

_LENGTH_A, _LABEL, _ROUND, _FIRST_A, _FIRST_B, _TOKEN_OFFSETS, _TOKENS, _WORD_BITS = range(8)
_ENTITY_OFFSETS, _ENTITY_STARTS, _ENTITY_LENGTHS = range(8, 11)
NUM_PLACES = 11
ABSENT = -1


@njit(cache=True, nogil=True)
def example_id_of(corpus_key, round_, first_a, length_a, first_b, num_tokens, label):
    """Digest where an example comes from, uint64; num_tokens are those of the whole example."""
    digest = child(child(child(corpus_key, round_), first_a), (np.int64(num_tokens) << 32) | np.int64(length_a))
    return digest if label == NO_PAIR else child(digest, first_b)


@njit(cache=True, nogil=True)
def sizes_of(int32_view, places, first_rows):
    """Return tokens and entities of every row of a shard, int64 each."""
    lengths = np.empty(first_rows[-1], np.int64)
    num_entities = np.zeros(first_rows[-1], np.int64)
    for batch in range(places.shape[0]):
        tokens, entities = places[batch, _TOKEN_OFFSETS], places[batch, _ENTITY_OFFSETS]
        for local in range(first_rows[batch + 1] - first_rows[batch]):
            row = first_rows[batch] + local
            lengths[row] = int32_view[tokens + local + 1] - int32_view[tokens + local]
            if entities != ABSENT:
                num_entities[row] = int32_view[entities + local + 1] - int32_view[entities + local]
    return lengths, num_entities


@njit(cache=True, nogil=True)
def gather(
    uint8_view,
    uint16_view,
    int32_view,
    token_view,
    first_view,
    places,
    first_rows,
    corpus_key,
    continuation_entries,
    rows,
    targets,
    offsets,
    entity_offsets,
    example_ids,
    first_a,
    first_b,
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
        label = np.int32(np.int8(uint8_view[places[batch, _LABEL] + local]))
        length = offsets[target + 1] - offsets[target]
        first_a[target] = first_view[places[batch, _FIRST_A] + local]
        first_b[target] = first_view[places[batch, _FIRST_B] + local]
        length_a[target], labels[target] = uint16_view[places[batch, _LENGTH_A] + local], label
        round_ = np.int64(uint8_view[places[batch, _ROUND] + local])
        example_ids[target] = example_id_of(
            corpus_key, round_, first_a[target], length_a[target], first_b[target], length, label
        )

        source = np.int64(int32_view[places[batch, _TOKEN_OFFSETS] + local])
        first_token, low = places[batch, _TOKENS] + source, offsets[target]
        # slices: loops over them from 0 on are compiled without a look at negative indices, and to several at once
        tokens, ids = token_view[first_token : first_token + length], input_ids[low : low + length]
        starts = word_starts[low : low + length]
        for token in range(length):
            ids[token] = tokens[token]
        if places[batch, _WORD_BITS] == ABSENT:
            for token in range(length):
                starts[token] = 1 - continuation_entries[tokens[token]]
            starts[1] = 1
            starts[min(length_a[target] + 2, length - 1)] = 1
        else:
            first_bit = 8 * places[batch, _WORD_BITS] + source
            for token in range(length):
                bit = np.uint64(first_bit + token)
                starts[token] = (uint8_view[bit >> np.uint64(3)] >> (bit & np.uint64(7))) & 1

        if places[batch, _ENTITY_OFFSETS] == ABSENT:
            continue
        source = np.int64(int32_view[places[batch, _ENTITY_OFFSETS] + local])
        low = entity_offsets[target]
        for entity in range(entity_offsets[target + 1] - low):
            entity_starts[low + entity] = uint16_view[places[batch, _ENTITY_STARTS] + source + entity]
            entity_lengths[low + entity] = uint16_view[places[batch, _ENTITY_LENGTHS] + source + entity]
