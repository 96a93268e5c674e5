"""The compiled loops that copy planned examples out: tokens, words and entities of `pair_kernels.py`'s plans."""

import numpy as np
from numba import njit

from bert_core.examples.pair_kernels import DOC_A, DOC_B, LABEL, LENGTH_A, LENGTH_B, START_A, START_B
from bert_core.store.schemas import NO_PAIR


@njit(cache=True, nogil=True)
def _copy(source, target):
    """Copy values that do not overlap; compiled to copies of many at once."""
    for index in range(source.size):
        target[index] = source[index]


@njit(cache=True, nogil=True)
def take_values(values, starts, stops, taken):
    """Copy values[start:stop] of all pairs, one after the other, into `taken`."""
    at = 0
    for row in range(starts.size):
        _copy(values[starts[row] : stops[row]], taken[at:])
        at += stops[row] - starts[row]


@njit(cache=True, nogil=True)
def take_bits(bits, starts, stops, taken):
    """Unpack bits start to stop of all pairs, lowest bit of a byte first, one after the other, into `taken`, uint8."""
    at = 0
    for row in range(starts.size):
        for bit in range(starts[row], stops[row]):
            taken[at] = (bits[bit >> 3] >> (bit & 7)) & 1
            at += 1


@njit(cache=True, nogil=True)
def _copy_entities(starts, lengths, low, high, start, stop, shift, filled, out_starts, out_lengths):
    """Copy the entities that lie wholly in tokens [start, stop), moved by `shift`; without room, only count them."""
    entity = low + np.searchsorted(starts[low:high], start)
    while entity < high and starts[entity] < stop:
        if starts[entity] + lengths[entity] <= stop:
            if out_starts.size:
                out_starts[filled], out_lengths[filled] = starts[entity] + shift, lengths[entity]
            filled += 1
        entity += 1
    return filled


@njit(cache=True, nogil=True)
def _entities_of(line, offsets, starts, lengths, filled, out_starts, out_lengths):
    """Copy or count the entities of one example's A and B."""
    filled = _copy_entities(
        starts,
        lengths,
        offsets[line[DOC_A]],
        offsets[line[DOC_A] + 1],
        line[START_A],
        line[START_A] + line[LENGTH_A],
        1 - line[START_A],
        filled,
        out_starts,
        out_lengths,
    )
    if line[LABEL] == NO_PAIR:
        return filled
    return _copy_entities(
        starts,
        lengths,
        offsets[line[DOC_B]],
        offsets[line[DOC_B] + 1],
        line[START_B],
        line[START_B] + line[LENGTH_B],
        line[LENGTH_A] + 2 - line[START_B],
        filled,
        out_starts,
        out_lengths,
    )


@njit(cache=True, nogil=True)
def copy_out(plan, ids, word_starts, entity_offsets, entity_starts, entity_lengths, cls_id, sep_id):
    """Write planned examples one after the other, special tokens and shifted entities included.

    Returns:
        Tokens (type of `ids`), row offsets (int32), word starts (uint8, empty where `word_starts` is), entity starts
        and entity lengths (uint16), entity row offsets (int32).
    """
    has_words = word_starts.size > 0
    num_examples = plan.shape[0]
    offsets, spans = np.zeros(num_examples + 1, np.int32), np.zeros(num_examples + 1, np.int32)
    nothing = np.empty(0, np.uint16)
    for row in range(num_examples):
        line = plan[row]
        num_special = 2 if line[LABEL] == NO_PAIR else 3
        offsets[row + 1] = offsets[row] + line[LENGTH_A] + line[LENGTH_B] + num_special
        if entity_starts.size:
            spans[row + 1] = _entities_of(
                line, entity_offsets, entity_starts, entity_lengths, spans[row], nothing, nothing
            )
    tokens, words = np.empty(offsets[-1], ids.dtype), np.empty(offsets[-1] if has_words else 0, np.uint8)
    starts, lengths = np.empty(spans[-1], np.uint16), np.empty(spans[-1], np.uint16)
    if has_words:
        words[:] = 1  # at special tokens, and where a side begins
    for row in range(num_examples):
        line, at = plan[row], np.int64(offsets[row])
        tokens[at] = cls_id
        at += 1
        for side in range(1 if line[LABEL] == NO_PAIR else 2):
            start, length = line[START_B if side else START_A], line[LENGTH_B if side else LENGTH_A]
            _copy(ids[start : start + length], tokens[at : at + length])
            if has_words:
                _copy(word_starts[start + 1 : start + length], words[at + 1 : at + length])
            at += length
            tokens[at] = sep_id
            at += 1
        if entity_starts.size:
            _entities_of(line, entity_offsets, entity_starts, entity_lengths, spans[row], starts, lengths)
    return tokens, offsets, words, starts, lengths, spans
