"""The compiled loop of `audit.py`: what the tokens of examples are like, in one pass."""

import numpy as np
from numba import njit

from bert_core.examples.draw_kernels import mix
from bert_core.examples.reader_kernels import example_id_of

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def measure_rows(
    tokens,
    offsets,
    word_bits,
    first_bit,
    is_han,
    unk_id,
    corpus_key,
    length_a,
    labels,
    rounds,
    first_a,
    first_b,
):
    """Digest rows of examples and count what they hold.

    Args:
        tokens: of all rows.
        offsets: first token of each row and the end.
        word_bits: uint8, a bit for each token, lowest first: whether a word begins; empty where no Han token
            stands in a word of several. A row begins one.
        first_bit: where the bit of token 0 lies in it.
        is_han: whether each entry of the vocabulary is a Han character, bool.
        unk_id: id of [UNK].
        corpus_key: what ids of examples begin with.
        length_a: columns of the rows, as the next four.
        labels: of the same.
        rounds: of the same.
        first_a: of the same.
        first_b: of the same.

    Returns:
        Digests of tokens and round, uint64 (num_rows,): the same text in another round is meant, within one it is a
        duplicate; ids of the examples, uint64; [UNK] tokens; Han tokens; and how many of these stand in words of two
        tokens or more.
    """
    contents, example_ids = np.empty(offsets.size - 1, np.uint64), np.empty(offsets.size - 1, np.uint64)
    num_unknown, num_han, num_in_words = 0, 0, 0
    for row in range(contents.size):
        digest, begins = np.uint64(0), 1
        own = tokens[offsets[row] : offsets[row + 1]]
        for index in range(own.size):
            token = own[index]
            digest = (digest + np.uint64(token) + _ONE) * _FACTOR
            num_unknown += token == unk_id
            num_han += is_han[token]
        if word_bits.size:
            for index in range(offsets[row], offsets[row + 1]):
                bit = first_bit + index + 1
                is_last = index + 1 == offsets[row + 1]
                begins_next = 1 if is_last else (word_bits[bit >> 3] >> (bit & 7)) & 1
                # alone where it begins a word and the next one does
                num_in_words += np.int64(is_han[tokens[index]]) & ~(begins & begins_next)
                begins = begins_next
        contents[row] = mix(digest) + np.uint64(rounds[row])
        example_ids[row] = example_id_of(
            corpus_key,
            np.int64(rounds[row]),
            np.int64(first_a[row]),
            np.int64(length_a[row]),
            np.int64(first_b[row]),
            np.int64(offsets[row + 1] - offsets[row]),
            labels[row],
        )
    return contents, example_ids, num_unknown, num_han, num_in_words
