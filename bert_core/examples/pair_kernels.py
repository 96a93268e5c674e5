"""The compiled loops of `pairs.py`, where the rules are told: cut sentences and plan examples.

A plan has one line for each example: which tokens of which documents are its A and its B. Token positions in it count
from the first token of the whole group of documents. "Pieces" are sentences, or the parts of one that is too long.
"""

import numpy as np
from numba import njit

from bert_core.examples.draw_kernels import below, child, draw, lower_half, uniform
from bert_core.store.schemas import NEXT, NO_PAIR, RANDOM, SWAPPED

DOC_A, START_A, LENGTH_A, DOC_B, START_B, LENGTH_B, LABEL = range(7)
NUM_FIELDS = 7

# Draws of one example, by what they decide; from _TRIES on, one for each attempt at a random B.
_IS_SHORT, _SHORT_TARGET, _SPLIT, _SCAN_FROM, _TRIES = range(5)
_NUM_TRIES = 16


@njit(cache=True, nogil=True)
def _cut_before(cut, previous, word_starts, ids, continuation_entries):
    """Move a cut inside a sentence back to the start of a word, if one begins after the previous cut."""
    position = cut
    while position > previous:
        if word_starts[position] if word_starts.size else not continuation_entries[ids[position]]:
            return position
        position -= 1
    return cut


@njit(cache=True, nogil=True)
def cut_sentences(
    sentence_lengths,
    sentence_offsets,
    token_offsets,
    word_starts,
    ids,
    continuation_entries,
    longest_tokens,
    piece_tokens,
):
    """Cut sentences longer than `longest_tokens` into even pieces of at most `piece_tokens`, at words where possible.

    Where `word_starts` is empty, a word begins at each token but the entries of `continuation_entries`.

    Returns:
        First token of each piece and the end (int64), first piece of each document and the end (int64), and whether
        a piece begins a sentence (bool). Empty sentences leave no piece.
    """
    num_pieces = 0
    for sentence in range(sentence_lengths.size):
        length = sentence_lengths[sentence]
        # An even piece has more than half of piece_tokens, and a cut moves back over less than half of it.
        num_pieces += 0 if length == 0 else 1 if length <= longest_tokens else 4 * (length // piece_tokens) + 5
    starts, begins = np.empty(num_pieces + 1, np.int64), np.empty(num_pieces, np.bool_)
    piece_offsets = np.empty(token_offsets.size, np.int64)
    piece, token = 0, np.int64(0)
    for document in range(token_offsets.size - 1):
        piece_offsets[document] = piece
        for sentence in range(sentence_offsets[document], sentence_offsets[document + 1]):
            stop = token + sentence_lengths[sentence]
            is_first = True
            while token < stop:
                starts[piece], begins[piece] = token, is_first
                piece += 1
                is_first = False
                left = stop - token
                if left <= (longest_tokens if begins[piece - 1] else piece_tokens):
                    token = stop
                else:
                    even = -(-left // -(-left // piece_tokens))
                    token = _cut_before(token + even, token + even // 2, word_starts, ids, continuation_entries)
    piece_offsets[-1] = piece
    starts[piece] = token
    return starts[: piece + 1], piece_offsets, begins[:piece]


@njit(cache=True, nogil=True)
def _target_tokens(key, longest_tokens, short_probability):
    """Draw the length that an example is built to."""
    if uniform(draw(key, _IS_SHORT)) < short_probability:
        return 2 + below(draw(key, _SHORT_TARGET), longest_tokens - 1)
    return longest_tokens


@njit(cache=True, nogil=True)
def _is_same_text(ids, start_a, start_b, num_tokens):
    num_equal = 0
    while num_equal < num_tokens and ids[start_a + num_equal] == ids[start_b + num_equal]:
        num_equal += 1
    return num_equal == num_tokens


@njit(cache=True, nogil=True)
def _random_b(document, split, true_length, most_tokens, key, doc_ids, ids, piece_starts, piece_offsets, begins):
    """Find a B of about `true_length` tokens in another document that does not begin as piece `split`, the true one.

    A document is drawn evenly, then a piece, from which B begins at the start of its sentence; it must fit into
    `most_tokens`. Where _NUM_TRIES draws fail, every sentence start is tried in turn from a drawn document on, and a
    first sentence that does not fit is taken too.

    Returns:
        Document (-1 where there is no honest B), first token and length of B.
    """
    num_documents = doc_ids.size
    true_start, true_sentence = piece_starts[split], piece_starts[split + 1] - piece_starts[split]
    scan_from = below(draw(key, _SCAN_FROM), num_documents)
    for trial in range(_NUM_TRIES + num_documents):
        if trial < _NUM_TRIES:
            value = draw(key, _TRIES + trial)
            other = below(value, num_documents)
        else:
            value, other = np.uint64(0), (scan_from + trial - _NUM_TRIES) % num_documents
        if doc_ids[other] == doc_ids[document]:
            continue
        low, high = piece_offsets[other], piece_offsets[other + 1]
        first_piece, last_piece = low, high - 1
        if trial < _NUM_TRIES:
            first_piece = low + below(lower_half(value), high - low)
            while not begins[first_piece]:
                first_piece -= 1
            last_piece = first_piece
        for piece in range(first_piece, last_piece + 1):
            if not begins[piece]:
                continue
            stop_piece, start = piece + 1, piece_starts[piece]
            while stop_piece < high:  # to the sentence end nearest to the true length
                length, longer = piece_starts[stop_piece] - start, piece_starts[stop_piece + 1] - start
                if longer > most_tokens or longer - true_length > true_length - length:
                    break
                stop_piece += 1
            length = piece_starts[stop_piece] - start
            if length > most_tokens and trial < _NUM_TRIES:
                continue
            if not _is_same_text(ids, true_start, start, min(length, true_sentence)):
                return other, start, length
    return -1, 0, 0


@njit(cache=True, nogil=True)
def plan_pairs(
    first_document,
    stop_document,
    doc_ids,
    doc_keys,
    ids,
    piece_starts,
    piece_offsets,
    begins,
    pair_key,
    label_key,
    first_pair,
    longest_tokens,
    short_probability,
    is_order,
):
    """Walk some documents, one after the other, and plan their examples.

    Args:
        first_document: where the walk begins; a random B comes from any document.
        stop_document: one past the last document to walk.
        doc_ids: digest of each document; equal ones are duplicates and never a random B of each other.
        doc_keys: what each document's draws are keyed by; differs between duplicates.
        ids: tokens of all documents.
        piece_starts: from `cut_sentences`, as are piece_offsets and begins.
        piece_offsets: first piece of each document and the end.
        begins: whether a piece begins a sentence.
        pair_key: key of this round's pairs.
        label_key: key of the order of labels.
        first_pair: number of pairs already planned, which says whose turn it is to be random.
        longest_tokens: most tokens of A and B together.
        short_probability: share of examples that are built to a shorter length.
        is_order: label 1 swaps A and B (sentence order) instead of taking a random B.

    Returns:
        The plan, int64, shape (num_examples, NUM_FIELDS); pairs planned; tokens cut off to fit; examples that
        were to be pairs and found no honest B.
    """
    plan = np.empty((piece_offsets[stop_document] - piece_offsets[first_document], NUM_FIELDS), np.int64)
    num_examples, num_pairs, num_cut, num_without_negative = 0, 0, 0, 0
    for document in range(first_document, stop_document):
        piece, stop = piece_offsets[document], piece_offsets[document + 1]
        document_key = child(pair_key, doc_keys[document])
        example = 0
        while piece < stop:
            key = child(document_key, example)
            example += 1
            line = plan[num_examples]
            num_examples += 1
            target = _target_tokens(key, longest_tokens, short_probability)
            start, end = piece_starts[piece], piece + 1
            while end < stop:
                is_reached = piece_starts[end] - start >= target or piece_starts[end + 1] - start > longest_tokens
                if is_reached and end > piece + 1:
                    break
                end += 1
            line[DOC_A], line[START_A], line[LENGTH_A] = document, start, piece_starts[piece + 1] - start
            line[DOC_B], line[START_B], line[LENGTH_B], line[LABEL] = document, -1, 0, NO_PAIR
            if end == piece + 1:
                piece = end
                continue
            split = piece + 1 + below(draw(key, _SPLIT), end - piece - 1)
            start_b, length_b = piece_starts[split], piece_starts[end] - piece_starts[split]
            length_a = piece_starts[split] - start
            pair = first_pair + num_pairs
            is_second = (draw(label_key, pair >> 1) & np.uint64(1)) == np.uint64(pair & 1)
            is_random = is_second and not is_order
            if is_order:
                if length_a == length_b and _is_same_text(ids, start, start_b, length_a):
                    num_without_negative += 1
                    piece += 1
                    continue
                if is_second:
                    start, start_b, length_a, length_b = start_b, start, length_b, length_a
                line[LABEL] = SWAPPED if is_second else NEXT
            elif is_random:
                other, start_b, length_b = _random_b(
                    document,
                    split,
                    length_b,
                    max(length_b, longest_tokens - length_a),
                    key,
                    doc_ids,
                    ids,
                    piece_starts,
                    piece_offsets,
                    begins,
                )
                if other < 0:
                    num_without_negative += 1
                    piece += 1
                    continue
                line[DOC_B], line[LABEL] = other, RANDOM
            else:
                line[LABEL] = NEXT
            num_pairs += 1
            excess = max(0, length_a + length_b - longest_tokens)
            # The longer side loses tokens one by one, B where they are equal; what is left of both is closed form.
            cut_a = min(excess, max(0, length_a - length_b))
            cut_b = min(excess - cut_a, max(0, length_b - length_a)) if cut_a == 0 else 0
            rest = excess - cut_a - cut_b
            cut_a, cut_b = cut_a + rest // 2, cut_b + (rest + 1) // 2
            num_cut += cut_a if is_random else cut_a + cut_b
            line[START_A], line[LENGTH_A] = start if is_order else start + cut_a, length_a - cut_a
            line[START_B], line[LENGTH_B] = start_b, length_b - cut_b
            piece = split if is_random else end
    return plan[:num_examples].copy(), num_pairs, num_cut, num_without_negative


@njit(cache=True, nogil=True)
def plan_packs(
    first_document, stop_document, doc_keys, piece_starts, piece_offsets, pack_key, longest_tokens, short_probability
):
    """Plan some documents' examples of one segment: whole sentences of a document, one after the other, while they fit.

    Returns:
        The plan, int64, shape (num_examples, NUM_FIELDS).
    """
    plan = np.empty((piece_offsets[stop_document] - piece_offsets[first_document], NUM_FIELDS), np.int64)
    num_examples = 0
    for document in range(first_document, stop_document):
        piece, stop = piece_offsets[document], piece_offsets[document + 1]
        document_key = child(pack_key, doc_keys[document])
        example = 0
        while piece < stop:
            target = _target_tokens(child(document_key, example), longest_tokens, short_probability)
            start, end = piece_starts[piece], piece + 1
            while end < stop and piece_starts[end + 1] - start <= target:
                end += 1
            line = plan[num_examples]
            line[DOC_A], line[START_A], line[LENGTH_A] = document, start, piece_starts[end] - start
            line[DOC_B], line[START_B], line[LENGTH_B], line[LABEL] = document, -1, 0, NO_PAIR
            num_examples += 1
            example += 1
            piece = end
    return plan[:num_examples].copy()
