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
        digest = np.uint64(0)
        word_tokens, word_han = 0, 0
        for index in range(offsets[row], offsets[row + 1]):
            token, bit = tokens[index], first_bit + index
            digest = (digest + np.uint64(token) + _ONE) * _FACTOR
            if (word_bits[bit >> 3] >> (bit & 7)) & 1:
                if word_tokens > 1:
                    num_in_words += word_han
                word_tokens, word_han = 0, 0
            is_han = np.int64(han[token])
            num_unknown += token == unk_id
            num_han += is_han
            word_tokens += 1
            word_han += is_han
        if word_tokens > 1:
            num_in_words += word_han
        digests[row] = mix(digest)
    return digests, num_unknown, num_han, num_in_words
