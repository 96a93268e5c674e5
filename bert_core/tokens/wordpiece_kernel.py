"""From UTF-8 bytes to token ids in one pass.

Each code point is decoded, looked up, and either emitted, dropped, or appended to the current word; where the word
ends it is cut greedily into the longest pieces of the trie (WordPiece). Rows with an UNSURE code point are left out
and flagged, for the library to encode.

Source: Wu et al. 2016 (arXiv:1609.08144), section 4.1; Devlin et al. 2019 (arXiv:1810.04805).
"""

import numpy as np
from numba import njit

from bert_core.tokens.vocabulary_files import MAX_WORD_CHARACTERS
from bert_core.tokens.wordpiece_tables import (
    BASE,
    CHECK,
    DROPPED,
    FIRST_LETTER,
    FIRST_SEVERAL,
    ROOT,
    UNSURE,
    VALUE,
)

_1, _2, _3 = np.uint64(1), np.uint64(2), np.uint64(3)
_REPLACEMENT = 0xFFFD  # what bytes that are no UTF-8 count as; dropped from text


@njit(cache=True, nogil=True)
def _emit_word(symbols, places, length, last_place, trie, continuation_root, unk_id, ids, starts, ends, at):
    """Cut one word into pieces and write them from `at` on; return the next free place."""
    if length > MAX_WORD_CHARACTERS:
        ids[at], starts[at], ends[at] = unk_id, places[0], last_place + 1
        return at + 1
    begin = at
    first = 0
    node = ROOT
    while first < length:
        best = -1
        stop = first
        here = first
        while here < length:
            symbol = symbols[np.uint64(here)]
            child = trie[np.uint64(node), BASE] + symbol
            if symbol == 0 or trie[np.uint64(child), CHECK] != node:
                break
            node = child
            here += 1
            value = trie[np.uint64(node), VALUE]
            if value >= 0:
                best = value
                stop = here
        if best < 0:
            ids[begin], starts[begin], ends[begin] = unk_id, places[0], last_place + 1
            return begin + 1
        ids[at], starts[at], ends[at] = best, places[first], places[stop - 1] + 1
        at += 1
        first = stop
        node = continuation_root
    return at


@njit(cache=True, nogil=True)
def encode_rows(
    data,
    offsets,
    numbers,
    item_offsets,
    items,
    trie,
    continuation_root,
    unk_id,
    ids,
    starts,
    ends,
    row_ends,
    left_out,
):
    """Encode rows of UTF-8.

    Args:
        data: uint8, the bytes.
        offsets: int64 (num_rows + 1,), first byte of each row.
        numbers: of the compiled vocabulary (`WordPieceTables`), as the next four.
        item_offsets: of the same.
        items: of the same.
        trie: of the same.
        continuation_root: of the same.
        unk_id: id of [UNK].
        ids: int32, written: room for as many tokens as there are bytes.
        starts: int32, written: first character of each token.
        ends: int32, written: one past its last character.
        row_ends: int64 (num_rows,), written: one past the last token of each row.
        left_out: bool (num_rows,), written: rows that the library must encode.

    Returns:
        Number of tokens.
    """
    symbols = np.zeros(MAX_WORD_CHARACTERS, np.int32)
    places = np.zeros(MAX_WORD_CHARACTERS, np.int32)
    at = 0
    for row in range(len(offsets) - 1):
        byte, stop = offsets[row], offsets[row + 1]
        row_begin = at
        place = 0  # character in the row
        length = 0  # characters in the current word
        last_place = 0
        while byte < stop:
            here = np.uint64(byte)  # unsigned: an index that cannot be negative is looked up faster
            lead = np.int64(data[here])
            if lead < 0x80:
                code_point = lead
                byte += 1
            elif lead < 0xE0 and byte + 1 < stop:
                code_point = ((lead & 0x1F) << 6) | (np.int64(data[here + _1]) & 0x3F)
                byte += 2
            elif lead < 0xF0 and byte + 2 < stop:
                middle, last = np.int64(data[here + _1]) & 0x3F, np.int64(data[here + _2]) & 0x3F
                code_point = ((lead & 0x0F) << 12) | (middle << 6) | last
                byte += 3
            elif byte + 3 < stop:
                code_point = (
                    ((lead & 0x07) << 18)
                    | ((np.int64(data[here + _1]) & 0x3F) << 12)
                    | ((np.int64(data[here + _2]) & 0x3F) << 6)
                    | (np.int64(data[here + _3]) & 0x3F)
                )
                byte += 4
                if code_point > 0x10FFFF:
                    code_point = _REPLACEMENT
            else:
                code_point = _REPLACEMENT
                byte = stop
            number = numbers[np.uint64(code_point)]
            if number >= 0 and length == 0:  # a token by itself, and no word to end: most of Chinese
                free = np.uint64(at)
                ids[free], starts[free], ends[free] = number, place, place + 1
                at += 1
                place += 1
                continue
            item = 0
            last_item = 1
            if number <= FIRST_SEVERAL:
                item = item_offsets[FIRST_SEVERAL - number]
                last_item = item_offsets[FIRST_SEVERAL - number + 1]
                number = items[item]
            while True:
                if number <= FIRST_LETTER:
                    if length < MAX_WORD_CHARACTERS:
                        letter = np.uint64(length)
                        symbols[letter], places[letter] = FIRST_LETTER - number, place
                    length += 1
                    last_place = place
                elif number != DROPPED:
                    if length > 0:
                        at = _emit_word(
                            symbols, places, length, last_place, trie, continuation_root, unk_id, ids, starts, ends, at
                        )
                        length = 0
                    if number >= 0:
                        ids[at], starts[at], ends[at] = number, place, place + 1
                        at += 1
                    elif number == UNSURE:
                        left_out[row] = True
                        at = row_begin
                        byte = stop
                        break
                item += 1
                if item >= last_item:
                    break
                number = items[item]
            place += 1
        if length > 0:
            at = _emit_word(symbols, places, length, last_place, trie, continuation_root, unk_id, ids, starts, ends, at)
        row_ends[row] = at
    return at
