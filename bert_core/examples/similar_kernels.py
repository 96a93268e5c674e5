"""The compiled loops of the policy `similar_word`: what its hidden words become. `masking.py` tells the rules.

Draws are counted by the position of a word's first token, so that a word becomes the same thing in any batch.
"""

import numpy as np
from numba import njit

from bert_core.examples.draw_kernels import below, child, draw, lower_half, uniform

_SIMILAR, _POOL = 6, 7
"""Streams of one example, after those of `masking_kernels.py`."""


@njit(cache=True, nogil=True)
def _compare(tokens, start, word):
    """Compare the word that starts at `tokens[start]` with `word` of as many tokens: below 0, 0 or above 0."""
    for index in range(word.size):
        difference = np.int64(tokens[start + index]) - np.int64(word[index])
        if difference != 0:
            return difference
    return np.int64(0)


@njit(cache=True, nogil=True)
def find_word(word, tokens, offsets, first_of_length):
    """Return the number of a word among the words of a thesaurus, -1 where it is none; its length is at least 1."""
    if word.size + 1 >= first_of_length.size:
        return np.int64(-1)
    low, high = first_of_length[word.size], first_of_length[word.size + 1]
    while low < high:
        middle = (low + high) // 2
        difference = _compare(tokens, offsets[middle], word)
        if difference == 0:
            return middle
        if difference < 0:
            low = middle + 1
        else:
            high = middle
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _number_of_new_word(word, is_similar, value, tokens, offsets, first_of_length, similar, similar_offsets):
    """Draw a similar word, or else a random one of as many tokens; -1 where the thesaurus has none of that length."""
    if is_similar:
        number = find_word(word, tokens, offsets, first_of_length)
        if number >= 0 and similar_offsets[number] < similar_offsets[number + 1]:
            low, high = similar_offsets[number], similar_offsets[number + 1]
            return np.int64(similar[low + below(lower_half(value), high - low)])
    if word.size + 1 >= first_of_length.size:
        return np.int64(-1)
    low, high = first_of_length[word.size], first_of_length[word.size + 1]
    return low + below(lower_half(value), high - low) if low < high else np.int64(-1)


@njit(cache=True, nogil=True)
def replace_words(
    input_ids,
    offsets,
    word_starts,
    example_ids,
    key,
    similar_share,
    random_share,
    pool,
    thesaurus_tokens,
    thesaurus_offsets,
    first_of_length,
    similar,
    similar_offsets,
    is_target,
    masked_ids,
):
    """Fill `masked_ids` at the targets: a similar word, a random word, or the word itself, drawn for each word.

    A word of which only a part is hidden (the rest is `[UNK]`, or it is cut) becomes random tokens of the pool.
    """
    for row in range(offsets.size - 1):
        stop = offsets[row + 1]
        example_key = child(key, example_ids[row])
        similar_key, pool_key = child(example_key, _SIMILAR), child(example_key, _POOL)
        first = offsets[row]
        while first < stop:
            if not is_target[first]:
                first += 1
                continue
            last = first + 1
            while last < stop and is_target[last] and not word_starts[last]:
                last += 1
            place = first - offsets[row]
            value = draw(similar_key, place)
            u = uniform(value)
            word = input_ids[first:last]
            if u >= similar_share + random_share:
                masked_ids[first:last] = word
                first = last
                continue
            number = np.int64(-1)
            if word_starts[first] and (last == stop or word_starts[last]):
                number = _number_of_new_word(
                    word,
                    u < similar_share,
                    value,
                    thesaurus_tokens,
                    thesaurus_offsets,
                    first_of_length,
                    similar,
                    similar_offsets,
                )
            for index in range(last - first):
                if number >= 0:
                    masked_ids[first + index] = thesaurus_tokens[thesaurus_offsets[number] + index]
                else:
                    masked_ids[first + index] = pool[below(draw(pool_key, place + index), pool.size)]
            first = last
