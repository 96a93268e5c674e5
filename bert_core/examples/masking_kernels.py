"""The compiled loops of `masking.py`, where the rules are told.

Every example has its own streams of draws, told apart by what they decide, and every draw is counted by what it
decides on (the n-th trial, the position of a token). So no generator state runs through the loops, and an example's
mask cannot depend on its neighbours. Positions count from the example's first token.

All loops stay in one file: numba's cache notices a change of the file that a function stands in, not of its callees'.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bert_core.examples.draw_kernels import below, child, draw, lower_half, uniform

WORD_POLICIES = ("whole_word", "ngram", "span", "entity")
_WHOLE_WORD, _NGRAM, _SPAN, _ENTITY = range(4)

NGRAM_CUMULATIVE = np.cumsum([0.4, 0.3, 0.2, 0.1])
SPAN_CUMULATIVE = np.cumsum(0.2 * 0.8 ** np.arange(10)) / np.sum(0.2 * 0.8 ** np.arange(10))

# Streams of one example: which unit comes next, how long it is, what a token becomes, the first and the second half
# of the entity policy, and which word is hidden where none fits.
_ORDER, _LENGTH, _REPLACE, _ENTITIES, _LONG_WORDS, _LAST_RESORT = range(6)


class Words(NamedTuple):
    """The words of one example that have maskable tokens, in order: scratch, filled anew for each example."""

    first: np.ndarray  # position of each word's first maskable token, int32
    last: np.ndarray  # one past its last maskable token, int32
    size: np.ndarray  # its maskable tokens, int32
    word_of: np.ndarray  # by position: word of the token, -1 where it is not maskable, int32
    order: np.ndarray  # items in the order in which they are tried, int32
    taken: np.ndarray  # whether a word is hidden, bool
    span_u: np.ndarray  # the number in [0, 1) that decides what a word's span becomes, float64


@njit(cache=True, nogil=True)
def _is_maskable(token, unmaskable):
    index = np.uint32(token)  # unsigned: an index that cannot be negative is looked up faster
    return index >= np.uint32(unmaskable.size) or not unmaskable[index]


@njit(cache=True, nogil=True)
def _budget_of(num_maskable, probability):
    """Number of tokens to hide; np.rint rounds half to even like Python's round."""
    if num_maskable == 0:
        return 0
    return max(1, int(np.rint(probability * num_maskable)))


@njit(cache=True, nogil=True)
def drawn_length(u, cumulative):
    """Return the length, from 1, that a uniform number in [0, 1) means under cumulative probabilities."""
    length = 1
    while length < cumulative.size and u >= cumulative[length - 1]:
        length += 1
    return length


@njit(cache=True, nogil=True)
def _next_of(order, trial, num_items, key):
    """Draw the next item without replacement: step `trial` of a Fisher-Yates shuffle of `order`."""
    other = trial + below(draw(key, trial), num_items - trial)
    item = order[other]
    order[other] = order[trial]
    return item


@njit(cache=True, nogil=True)
def _list_words(input_ids, word_starts, unmaskable, words):
    """List the words of one example; return their number and that of their maskable tokens.

    A special token or [UNK] between two words keeps them apart; a word goes on over its own [UNK] pieces.
    """
    word, num_maskable, is_open = -1, 0, False
    for position in range(input_ids.size):
        if word_starts[position]:
            is_open = False
        words.word_of[position] = -1
        if not _is_maskable(input_ids[position], unmaskable):
            continue
        if not is_open:
            word += 1
            words.first[word], words.size[word], words.taken[word] = position, 0, False
            is_open = True
        words.last[word] = position + 1
        words.size[word] += 1
        words.word_of[position] = word
        num_maskable += 1
    return word + 1, num_maskable


@njit(cache=True, nogil=True)
def _take(anchor, num_chosen, u, words):
    """Mark words as hidden; return their maskable tokens."""
    num_tokens = 0
    for word in range(anchor, anchor + num_chosen):
        words.taken[word], words.span_u[word] = True, u
        num_tokens += words.size[word]
    return num_tokens


@njit(cache=True, nogil=True)
def _words_that_fit(anchor, wanted, left, num_words, words):
    """Count the words from `anchor` on, at most `wanted`, that adjoin, are not taken and fit into `left` tokens."""
    word, num_tokens = anchor, 0
    while word < num_words and word < anchor + wanted and not words.taken[word]:
        if word > anchor and words.first[word] != words.last[word - 1]:
            break
        num_tokens += words.size[word]
        if num_tokens > left:
            break
        word += 1
    return word - anchor


@njit(cache=True, nogil=True)
def _take_runs(by_token, cumulative, budget, num_words, words, order_key, length_key):
    """Hide runs of words from drawn anchors (a word each, or a token each) on; return how many tokens are hidden."""
    num_anchors = 0
    for word in range(num_words):
        for _ in range(words.size[word] if by_token else 1):
            words.order[num_anchors] = word
            num_anchors += 1
    hidden = 0
    for trial in range(num_anchors):
        if hidden == budget:
            break
        anchor = _next_of(words.order, trial, num_anchors, order_key)
        value = draw(length_key, trial)
        wanted = drawn_length(uniform(value), cumulative)
        num_chosen = _words_that_fit(anchor, wanted, budget - hidden, num_words, words)
        hidden += _take(anchor, num_chosen, uniform(lower_half(value)), words)
    return hidden


@njit(cache=True, nogil=True)
def _take_entities(starts, lengths, goal, budget, words, key):
    """Hide entities in random order until `goal` tokens are hidden; return how many are."""
    hidden = 0
    order = np.arange(starts.size)
    for trial in range(starts.size):
        if hidden >= goal:
            break
        entity = _next_of(order, trial, starts.size, key)
        low, high, num_tokens, is_free = -1, -1, 0, True
        for position in range(starts[entity], starts[entity] + lengths[entity]):
            word = words.word_of[position]
            if word >= 0 and word != high:
                low = word if low < 0 else low
                high = word
                num_tokens += words.size[word]
                is_free = is_free and not words.taken[word]
        if low >= 0 and is_free and hidden + num_tokens <= budget:
            hidden += _take(low, high - low + 1, 0.0, words)
    return hidden


@njit(cache=True, nogil=True)
def _take_words(hidden, goal, budget, shortest, num_words, words, key):
    """Hide words of at least `shortest` tokens in random order until `goal` is reached; return how many tokens are."""
    for word in range(num_words):
        words.order[word] = word
    for trial in range(num_words):
        if hidden >= goal:
            break
        word = _next_of(words.order, trial, num_words, key)
        size = words.size[word]
        if not words.taken[word] and size >= shortest and hidden + size <= budget:
            hidden += _take(word, 1, 0.0, words)
    return hidden


@njit(cache=True, nogil=True)
def _shortest_word(num_words, words, value):
    """Draw one of the words that are as short as the shortest."""
    size = words.size[:num_words]
    shortest = np.nonzero(size == size.min())[0]
    return shortest[below(value, shortest.size)]


@njit(cache=True, nogil=True)
def _choose(policy, entity_starts, entity_lengths, budget, num_words, words, key):
    """Choose the words of one example that are hidden; return how many tokens they have."""
    order_key = child(key, _ORDER)
    if policy == _NGRAM:
        return _take_runs(False, NGRAM_CUMULATIVE, budget, num_words, words, order_key, child(key, _LENGTH))
    if policy == _SPAN:  # anchors are tokens: a longer word is likelier to begin a span
        return _take_runs(True, SPAN_CUMULATIVE, budget, num_words, words, order_key, child(key, _LENGTH))
    hidden = 0
    if policy == _ENTITY and entity_starts.size:
        half = (budget + 1) // 2
        hidden = _take_entities(entity_starts, entity_lengths, half, budget, words, child(key, _ENTITIES))
        hidden = _take_words(hidden, half, budget, 2, num_words, words, child(key, _LONG_WORDS))
    return _take_words(hidden, budget, budget, 1, num_words, words, order_key)


class Replacement(NamedTuple):
    """What hidden tokens become."""

    mask_share: float
    random_share: float
    mask_id: int
    pool: np.ndarray


@njit(cache=True, nogil=True)
def _replaced(token, value, u, replacement):
    """Turn a hidden token into [MASK], a random token or itself; u decides which, value which random token."""
    if u < replacement.mask_share:
        return np.int32(replacement.mask_id)
    if u < replacement.mask_share + replacement.random_share:
        return np.int32(replacement.pool[below(lower_half(value), replacement.pool.size)])
    return token


@njit(cache=True, nogil=True)
def mask_tokens(
    input_ids, offsets, longest, example_ids, key, probability, replacement, unmaskable, masked_ids, is_target
):
    """Hide single tokens, exactly the budget; fills `masked_ids` (a copy of `input_ids`) and `is_target` (zeros)."""
    order = np.empty(longest + 1, np.int32)
    for row in range(offsets.size - 1):
        start, num_maskable = offsets[row], 0
        for position in range(offsets[row + 1] - start):
            order[num_maskable] = position
            if _is_maskable(input_ids[start + position], unmaskable):
                num_maskable += 1
        example_key = child(key, example_ids[row])
        order_key, replace_key = child(example_key, _ORDER), child(example_key, _REPLACE)
        for trial in range(_budget_of(num_maskable, probability)):
            position = _next_of(order, trial, num_maskable, order_key)
            value = draw(replace_key, position)
            at = start + position
            is_target[at] = 1
            masked_ids[at] = _replaced(input_ids[at], value, uniform(value), replacement)


@njit(cache=True, nogil=True)
def mask_words(
    input_ids,
    offsets,
    longest,
    example_ids,
    key,
    probability,
    replacement,
    unmaskable,
    policy,
    word_starts,
    entity_starts,
    entity_lengths,
    entity_offsets,
    masked_ids,
    is_target,
):
    """Hide whole words by one of WORD_POLICIES; fills `masked_ids` (a copy of `input_ids`) and `is_target` (zeros)."""
    scratch = np.empty((5, longest), np.int32)
    taken, span_u = np.empty(longest, np.bool_), np.empty(longest, np.float64)
    words = Words(scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], taken, span_u)
    for row in range(offsets.size - 1):
        start, stop = offsets[row], offsets[row + 1]
        num_words, num_maskable = _list_words(input_ids[start:stop], word_starts[start:stop], unmaskable, words)
        budget = _budget_of(num_maskable, probability)
        if budget == 0:
            continue
        example_key = child(key, example_ids[row])
        entities = slice(entity_offsets[row], entity_offsets[row + 1])
        hidden = _choose(
            policy, entity_starts[entities], entity_lengths[entities], budget, num_words, words, example_key
        )
        num_skipped, num_left = 0, num_maskable
        if hidden == 0:  # every word is longer than the budget
            value = draw(child(example_key, _LAST_RESORT), 0)
            _take(_shortest_word(num_words, words, value), 1, uniform(lower_half(value)), words)
            if num_words == 1:  # cut: all of it would leave nothing to predict from
                num_skipped, num_left = below(value, num_maskable - budget + 1), budget
        replace_key = child(example_key, _REPLACE)
        for word in range(num_words):
            if not words.taken[word]:
                continue
            for position in range(words.first[word], words.last[word]):
                if words.word_of[position] < 0 or num_left == 0:
                    continue
                if num_skipped > 0:
                    num_skipped -= 1
                    continue
                num_left -= 1
                value = draw(replace_key, position)
                u = words.span_u[word] if policy == _SPAN else uniform(value)
                at = start + position
                is_target[at] = 1
                masked_ids[at] = _replaced(input_ids[at], value, u, replacement)
