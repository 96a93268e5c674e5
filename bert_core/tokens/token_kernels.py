"""The compiled loops of `tokens.py`: narrow ids, tokens of each sentence, characters behind unknown tokens, bytes."""

import numpy as np
from numba import njit

_BLOCK = 64  # bytes whose characters are counted at once


@njit(cache=True, nogil=True)
def byte_offsets(data, num_characters, offsets):
    """Fill `offsets` (num_rows + 1,) with the first byte of each row of UTF-8 and the end, given its characters."""
    byte = 0
    for row in range(num_characters.size):
        left = num_characters[row]
        while left > 0:  # as many characters have at least as many bytes, which are counted several at once
            counted = 0
            for value in data[byte : byte + left]:
                counted += (value & 0xC0) != 0x80
            byte += left
            left -= counted
        while byte < data.size and (data[byte] & 0xC0) == 0x80:
            byte += 1
        offsets[row + 1] = byte


@njit(cache=True, nogil=True)
def narrow(ids, continuation_entries, unk_id, narrowed):
    """Copy ids to `narrowed`, of another type; return how many begin a word (no `##` piece) and how many are [UNK]."""
    num_words, num_unknown = 0, 0
    for index in range(ids.size):
        token = ids[index]
        narrowed[index] = token
        num_words += not continuation_entries[np.uint32(token)]
        num_unknown += token == unk_id
    return num_words, num_unknown


@njit(cache=True, nogil=True)
def count_tokens(data, byte_offsets, sentence_ends, sentence_offsets, char_starts, token_offsets):
    """Count the tokens that begin in each sentence.

    Args:
        data: UTF-8, uint8.
        byte_offsets: first byte of each row and the end, int64.
        sentence_ends: one past the last byte of each sentence, int64.
        sentence_offsets: first sentence of each row and the end, int64.
        char_starts: first character of each token in its row.
        token_offsets: first token of each row and the end, int64.

    Returns:
        Lengths of the sentences that have tokens (int32), the first of them of each row and the end (int64), and the
        number of characters in all rows.
    """
    lengths, row_offsets = np.empty(sentence_ends.size, np.int32), np.zeros(byte_offsets.size, np.int64)
    num_filled, num_characters = 0, 0
    for row in range(byte_offsets.size - 1):
        byte, place, token, stop = byte_offsets[row], 0, token_offsets[row], token_offsets[row + 1]
        for sentence in range(sentence_offsets[row], sentence_offsets[row + 1]):
            for value in data[byte : sentence_ends[sentence]]:
                place += (value & 0xC0) != 0x80
            byte, first = sentence_ends[sentence], token
            while token < stop and char_starts[token] < place:
                token += 1
            lengths[num_filled] = token - first
            num_filled += token > first
        row_offsets[row + 1] = num_filled
        num_characters += place
    return lengths[:num_filled].copy(), row_offsets, num_characters


@njit(cache=True, nogil=True)
def characters_of(data, byte_offsets, rows, char_starts, char_ends):
    """Return the code points of characters `char_starts` to `char_ends` of rows, one span after the other, uint32.

    Spans are in the order of their rows, and of their first characters within a row.
    """
    found = np.empty(np.sum(char_ends - char_starts), np.uint32)
    num_found, row, byte, place = 0, -1, np.int64(0), 0
    for span in range(rows.size):
        if rows[span] != row or char_starts[span] < place:
            row, byte, place = rows[span], byte_offsets[rows[span]], 0
        while char_starts[span] - place > _BLOCK:  # then the row has as many bytes left
            for value in data[byte : byte + _BLOCK]:
                place += (value & 0xC0) != 0x80
            byte += _BLOCK
        while True:
            while byte < data.size and data[byte] & 0xC0 == 0x80:
                byte += 1
            if place == char_starts[span]:
                break
            byte, place = byte + 1, place + 1
        at = byte
        for _ in range(char_ends[span] - char_starts[span]):
            lead = np.uint32(data[at])
            length = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            code_point = lead if length == 1 else lead & (0x7F >> length)
            for next_byte in data[at + 1 : at + length]:
                code_point = (code_point << 6) | (next_byte & 0x3F)
            found[num_found] = code_point
            num_found, at = num_found + 1, at + length
    return found
