"""The compiled loop of `audit.py`: what the tokens of examples are like, in one pass."""

import numpy as np
from numba import njit

from bert_core.examples.draw_kernels import mix

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def measure_rows(tokens, offsets, word_bits, first_bit, han, unk_id):
    """Digest rows of tokens and count what they hold.

    Args:
        tokens: of all rows.
        offsets: first token of each row and the end.
        word_bits: uint8, a bit for each token, lowest first: whether a word begins. A row begins one.
        first_bit: where the bit of token 0 lies in it.
        han: whether each entry of the vocabulary is a Han character, bool.
        unk_id: id of [UNK].

    Returns:
        uint64 digests (num_rows,), equal for rows with equal tokens; [UNK] tokens; Han tokens; and how many of these
        stand in words of two tokens or more.
    """
    digests = np.empty(offsets.size - 1, np.uint64)
    num_unknown, num_han, num_in_words = 0, 0, 0
    for row in range(digests.size):
        digest, begins = np.uint64(0), 1
        for index in range(offsets[row], offsets[row + 1]):
            token, bit = tokens[index], first_bit + index + 1
            digest = (digest + np.uint64(token) + _ONE) * _FACTOR
            is_last = index + 1 == offsets[row + 1]
            begins_next = 1 if is_last else (word_bits[bit >> 3] >> (bit & 7)) & 1
            is_han = np.int64(han[token])
            num_unknown += token == unk_id
            num_han += is_han
            num_in_words += is_han & ~(begins & begins_next)  # alone where it begins a word and the next one does
            begins = begins_next
        digests[row] = mix(digest)
    return digests, num_unknown, num_han, num_in_words
