"""The compiled loops of `masking.py`, where the rules are told.

Every example has its own streams of draws, told apart by what they decide, and every draw is counted by what it
decides on (the n-th trial, the position of a token). So no generator state runs through the loops, and an example's
mask cannot depend on its neighbours. Arrays named `first`, `last`, `size`, `taken` and `order` are scratch for one
example: its words as ranges of positions `[first, last)`, their maskable tokens, whether they are hidden, and the order
in which they are tried.
"""

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


@njit(cache=True, nogil=True)
def _is_maskable(token, unmaskable):
    return token >= unmaskable.size or not unmaskable[token]


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
def _replacement(token, value, u, mask_share, random_share, mask_id, pool):
    """Turn a hidden token into [MASK], a random token or itself; u decides which, value which random token."""
    if u < mask_share:
        return np.int32(mask_id)
    if u < mask_share + random_share:
        return np.int32(pool[below(lower_half(value), pool.size)])
    return token


@njit(cache=True, nogil=True)
def _longest(offsets):
    longest = 0
    for row in range(offsets.size - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@njit(cache=True, nogil=True)
def _next_of(order, trial, num_items, key):
    """Draw the next item without replacement: step `trial` of a Fisher-Yates shuffle of `order`."""
    other = trial + below(draw(key, trial), num_items - trial)
    item = order[other]
    order[other] = order[trial]
    order[trial] = item
    return item


@njit(cache=True, nogil=True)
def mask_tokens(
    input_ids,
    offsets,
    example_ids,
    key,
    probability,
    mask_share,
    random_share,
    mask_id,
    unmaskable,
    pool,
    masked_ids,
    is_target,
):
    """Hide single tokens, exactly the budget; fills `masked_ids` (a copy of `input_ids`) and `is_target` (zeros)."""
    order = np.empty(_longest(offsets), np.int64)
    for row in range(offsets.size - 1):
        num_maskable = 0
        for position in range(offsets[row], offsets[row + 1]):
            order[num_maskable] = position
            num_maskable += _is_maskable(input_ids[position], unmaskable)
        example_key = child(key, example_ids[row])
        order_key, replace_key = child(example_key, _ORDER), child(example_key, _REPLACE)
        for trial in range(_budget_of(num_maskable, probability)):
            position = _next_of(order, trial, num_maskable, order_key)
            value = draw(replace_key, position - offsets[row])
            is_target[position] = 1
            masked_ids[position] = _replacement(
                input_ids[position], value, uniform(value), mask_share, random_share, mask_id, pool
            )


@njit(cache=True, nogil=True)
def _list_words(input_ids, word_starts, start, stop, unmaskable, first, last, size, word_of):
    """List the words of one example that have maskable tokens; return their number and that of those tokens.

    A special token or [UNK] between two words keeps them apart; a word goes on over its own [UNK] pieces.
    """
    num_words, num_maskable = 0, 0
    opened = False  # whether the word at hand is already listed
    for position in range(start, stop):
        maskable = _is_maskable(input_ids[position], unmaskable)
        if word_starts[position]:
            opened = False
        if maskable and not opened:
            first[num_words], size[num_words] = position, 0
            num_words += 1
            opened = True
        if maskable:
            last[num_words - 1] = position + 1
            size[num_words - 1] += 1
            num_maskable += 1
        word_of[position - start] = num_words - 1 if maskable else -1
    return num_words, num_maskable


@njit(cache=True, nogil=True)
def _words_that_fit(anchor, wanted, left, num_words, first, last, size, taken):
    """Count the words from `anchor` on, at most `wanted`, that adjoin, are not taken and fit into `left` tokens."""
    word, num_tokens = anchor, 0
    while word < num_words and word < anchor + wanted and not taken[word]:
        if word > anchor and first[word] != last[word - 1]:
            break
        num_tokens += size[word]
        if num_tokens > left:
            break
        word += 1
    return word - anchor


@njit(cache=True, nogil=True)
def _take(anchor, num_chosen, size, taken):
    """Mark words as hidden; return their maskable tokens."""
    num_tokens = 0
    for word in range(anchor, anchor + num_chosen):
        taken[word] = True
        num_tokens += size[word]
    return num_tokens


@njit(cache=True, nogil=True)
def _take_entities(starts, lengths, word_of, size, taken, order, goal, budget, key):
    """Hide entities in random order until `goal` tokens are hidden; return how many are."""
    hidden = 0
    for entity in range(starts.size):
        order[entity] = entity
    for trial in range(starts.size):
        if hidden >= goal:
            break
        entity = _next_of(order, trial, starts.size, key)
        low, high, num_tokens, is_free = -1, -1, 0, True
        for position in range(starts[entity], starts[entity] + lengths[entity]):
            word = word_of[position]
            if word >= 0 and word != high:
                low = word if low < 0 else low
                high = word
                num_tokens += size[word]
                is_free = is_free and not taken[word]
        if low >= 0 and is_free and hidden + num_tokens <= budget:
            hidden += _take(low, high - low + 1, size, taken)
    return hidden


@njit(cache=True, nogil=True)
def _take_words(hidden, goal, budget, shortest, num_words, size, taken, order, key):
    """Hide words of at least `shortest` tokens in random order until `goal` is reached; return how many tokens are."""
    for word in range(num_words):
        order[word] = word
    for trial in range(num_words):
        if hidden >= goal:
            break
        word = _next_of(order, trial, num_words, key)
        if not taken[word] and size[word] >= shortest and hidden + size[word] <= budget:
            hidden += _take(word, 1, size, taken)
    return hidden


@njit(cache=True, nogil=True)
def _shortest_word(num_words, size, value):
    """Draw one of the words that are as short as the shortest."""
    shortest = size[:num_words].min()
    left = below(value, np.sum(size[:num_words] == shortest))
    for word in range(num_words):
        if size[word] == shortest:
            if left == 0:
                return word
            left -= 1
    return 0


@njit(cache=True, nogil=True)
def mask_words(
    input_ids,
    offsets,
    example_ids,
    key,
    probability,
    mask_share,
    random_share,
    mask_id,
    unmaskable,
    pool,
    policy,
    word_starts,
    entity_starts,
    entity_lengths,
    entity_offsets,
    masked_ids,
    is_target,
):
    """Hide whole words by one of WORD_POLICIES; fills `masked_ids` (a copy of `input_ids`) and `is_target` (zeros)."""
    longest = _longest(offsets)
    first, last, size = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    order, word_of = np.empty(longest, np.int64), np.empty(longest, np.int64)
    taken = np.empty(longest, np.bool_)
    span_u = np.empty(longest, np.float64)  # by word: the number that decides what its span becomes
    for row in range(offsets.size - 1):
        start, stop = offsets[row], offsets[row + 1]
        num_words, num_maskable = _list_words(
            input_ids, word_starts, start, stop, unmaskable, first, last, size, word_of
        )
        budget = _budget_of(num_maskable, probability)
        if budget == 0:
            continue
        example_key = child(key, example_ids[row])
        order_key, length_key = child(example_key, _ORDER), child(example_key, _LENGTH)
        replace_key = child(example_key, _REPLACE)
        taken[:num_words] = False
        hidden = 0
        if policy == _NGRAM or policy == _SPAN:
            num_anchors = num_maskable if policy == _SPAN else num_words
            num_listed = 0
            if policy == _SPAN:  # anchors are tokens: a longer word is likelier to begin a span
                for local in range(stop - start):
                    if word_of[local] >= 0:
                        order[num_listed] = word_of[local]
                        num_listed += 1
            else:
                for word in range(num_words):
                    order[word] = word
            for trial in range(num_anchors):
                if hidden == budget:
                    break
                anchor = _next_of(order, trial, num_anchors, order_key)
                value = draw(length_key, trial)
                cumulative = SPAN_CUMULATIVE if policy == _SPAN else NGRAM_CUMULATIVE
                wanted = drawn_length(uniform(value), cumulative)
                num_chosen = _words_that_fit(anchor, wanted, budget - hidden, num_words, first, last, size, taken)
                hidden += _take(anchor, num_chosen, size, taken)
                span_u[anchor : anchor + num_chosen] = uniform(lower_half(value))
        else:
            low, high = entity_offsets[row], entity_offsets[row + 1]
            if policy == _ENTITY and high > low:
                half = (budget + 1) // 2
                hidden = _take_entities(
                    entity_starts[low:high],
                    entity_lengths[low:high],
                    word_of,
                    size,
                    taken,
                    order,
                    half,
                    budget,
                    child(example_key, _ENTITIES),
                )
                hidden = _take_words(
                    hidden, half, budget, 2, num_words, size, taken, order, child(example_key, _LONG_WORDS)
                )
            hidden = _take_words(hidden, budget, budget, 1, num_words, size, taken, order, order_key)
        skipped, left = 0, num_maskable
        if hidden == 0:
            value = draw(child(example_key, _LAST_RESORT), 0)
            if num_words == 1:  # cut: all of it would leave nothing to predict from
                skipped, left = below(value, num_maskable - budget + 1), budget
            word = _shortest_word(num_words, size, value)
            taken[word], span_u[word] = True, uniform(lower_half(value))
        for local in range(stop - start):
            word = word_of[local]
            if word < 0 or not taken[word]:
                continue
            if skipped > 0:
                skipped -= 1
                continue
            if left == 0:
                break
            left -= 1
            value = draw(replace_key, local)
            u = span_u[word] if policy == _SPAN else uniform(value)
            position = start + local
            is_target[position] = 1
            masked_ids[position] = _replacement(input_ids[position], value, u, mask_share, random_share, mask_id, pool)
