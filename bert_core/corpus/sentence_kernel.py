"""The rules of `sentences.py` over the UTF-8 bytes of many texts, compiled: where each sentence ends.

What a character counts as is asked of Python's regular expressions once for every code point, so the sets of marks,
spaces and letters are those of the pattern. The order of the rules is restated here: the branch for Chinese marks, for
Latin ! and ?, for the full stop, for a paragraph break. Tests hold both forms equal.
"""

import re
import sys
from functools import cache
from pathlib import Path

import numpy as np
from numba import njit

from bert_core.corpus.sentences import (
    ABBREVIATIONS,
    CHINESE_END,
    CHINESE_GOES_ON,
    CHINESE_RUN,
    CLOSING,
    HAN,
    LATIN_END,
    LATIN_GOES_ON,
    LATIN_RUN,
    NO_BEGINNING,
)
from bert_core.store.kept_tables import kept_tables

_NUM_CODE_POINTS = 0x110000
_SETS = (
    *(CHINESE_END, CHINESE_RUN, CHINESE_GOES_ON, LATIN_END, LATIN_RUN, LATIN_GOES_ON),
    *(CLOSING, HAN, NO_BEGINNING, r"\s", r"\w", r"\d"),
)
_CHINESE_END, _CHINESE_RUN, _CHINESE_GOES_ON, _LATIN_END, _LATIN_RUN, _LATIN_GOES_ON = (1 << bit for bit in range(6))
_CLOSING, _HAN, _NO_BEGINNING, _SPACE, _LETTER, _DIGIT = (1 << bit for bit in range(6, 12))
_STOP, _BREAK = ord("."), ord("\n")
_LONGEST_WORD = 7  # letters; a longer one is no abbreviation


@cache
def _character_sets() -> np.ndarray:
    """Return which of _SETS each code point is in, one bit for each, uint16 (_NUM_CODE_POINTS,)."""
    depends_on = f"{sys.version} {' '.join(_SETS)} {Path(__file__).read_text(encoding='utf-8')}"
    return kept_tables("sentence-marks", depends_on, lambda: {"sets": _ask_expressions()})["sets"]


def _ask_expressions() -> np.ndarray:
    every = np.arange(_NUM_CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    sets = np.zeros(_NUM_CODE_POINTS, np.uint16)
    for bit, characters in enumerate(_SETS):
        for run in re.finditer(f"{characters}+", every):
            sets[run.start() : run.end()] |= 1 << bit
    return sets


def _packed(word: str) -> int:
    return int.from_bytes(word.encode(), "little")


# Of dotted ones (e.g, Ph.D) the last letter stands alone behind a dot, so it is an initial.
_ABBREVIATED = np.array(sorted(_packed(word) for word in ABBREVIATIONS if "." not in word), np.uint64)
_NUMBER = np.uint64(_packed("No"))


def sentence_ends(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find where sentences end.

    Example: the bytes of "好。走吧！" and offsets `[0, 15]` -> ends `[6, 15]`, row_offsets `[0, 2]`.

    Args:
        data: UTF-8, uint8.
        offsets: first byte of each text in it and the end, int64, shape (num_texts + 1,).

    Returns:
        ends int64 (num_sentences,), one past the last byte of each sentence; and row_offsets int64 (num_texts + 1,),
        the first sentence of each text and the end. A text's last sentence ends with it; an empty text has none.
    """
    return _sentence_ends(data, offsets, _character_sets(), _ABBREVIATED)


@njit(cache=True, nogil=True)
def _decode(data, byte):
    """Return the code point that begins at a byte of valid UTF-8, and the byte behind it."""
    lead = np.int64(data[byte])
    if lead < 0x80:
        return lead, byte + 1
    if lead < 0xE0:
        return ((lead & 0x1F) << 6) | (data[byte + 1] & 0x3F), byte + 2
    if lead < 0xF0:
        return ((lead & 0x0F) << 12) | ((data[byte + 1] & 0x3F) << 6) | (data[byte + 2] & 0x3F), byte + 3
    high = ((lead & 0x07) << 18) | ((data[byte + 1] & 0x3F) << 12)
    return high | ((data[byte + 2] & 0x3F) << 6) | (data[byte + 3] & 0x3F), byte + 4


@njit(cache=True, nogil=True)
def _skip(data, byte, stop, sets, members):
    """Go on while characters belong to `members`; return the byte behind them and the sets of the character there."""
    while byte < stop:
        code_point, behind = _decode(data, byte)
        if not sets[code_point] & members:
            return byte, sets[code_point]
        byte = behind
    return byte, np.uint16(0)


@njit(cache=True, nogil=True)
def _was_in(data, byte, start, sets, members):
    """Say whether there is a character that ends before `byte` and it belongs to `members`."""
    if byte <= start:
        return False
    byte -= 1
    while data[byte] & 0xC0 == 0x80:
        byte -= 1
    return (sets[_decode(data, byte)[0]] & members) != 0


@njit(cache=True, nogil=True)
def _is_abbreviated(data, start, dot, stop, sets, abbreviated):
    """Say whether the full stop at `dot` belongs to an initial, to an abbreviation, or to a number's No."""
    byte, word = dot, np.uint64(0)
    while byte > start and dot - byte <= _LONGEST_WORD:
        letter = data[byte - 1]
        if not (65 <= letter <= 90 or 97 <= letter <= 122):
            break
        word = (word << np.uint64(8)) | np.uint64(letter)
        byte -= 1
    length = dot - byte
    if length == 0 or length > _LONGEST_WORD or _was_in(data, byte, start, sets, _LETTER):
        return False
    if length == 1:
        return True
    if word == _NUMBER:
        return _skip(data, dot + 1, stop, sets, _SPACE)[1] & _DIGIT != 0
    index = np.searchsorted(abbreviated, word)
    return index < abbreviated.size and abbreviated[index] == word


@njit(cache=True, nogil=True)
def _find_marks(text, words, positions):
    """Write down where one of 。 ！ ？ ； … ! ? . or a line break begins; return how many there are.

    A first loop without branches flags bytes, many at once; a second passes over eight flags at a time.
    """
    flags = words.view(np.uint8)
    second, third = text[1:], text[2:]
    for byte in range(text.size - 2):
        a, b, c = text[byte], second[byte], third[byte]
        is_mark = (a == 0x2E) | (a == 0x0A) | (a == 0x21) | (a == 0x3F)
        is_mark |= (a == 0xE3) & (b == 0x80) & (c == 0x82)
        is_mark |= (a == 0xEF) & (b == 0xBC) & ((c == 0x81) | (c == 0x9F) | (c == 0x9B))
        is_mark |= (a == 0xE2) & (b == 0x80) & (c == 0xA6)
        flags[byte] = is_mark
    for byte in range(max(text.size - 2, 0), text.size):
        a = text[byte]
        flags[byte] = (a == 0x2E) | (a == 0x0A) | (a == 0x21) | (a == 0x3F)
    num_words = (text.size + 7) // 8
    flags[text.size : 8 * num_words] = 0
    num_marks = 0
    for word in range(num_words):
        if words[word]:
            for byte in range(8 * word, 8 * word + 8):
                positions[num_marks] = byte
                num_marks += flags[byte]
    return num_marks


@njit(cache=True, nogil=True)
def _behind_sentence(data, start, mark, stop, sets, abbreviated, refused):
    """Return the byte behind the sentence that a mark ends with all that belongs to it, -1 where it ends none.

    Within a run of marks that is refused for what follows, the later ones are refused too: `refused` holds the end of
    the last such run for Chinese, for Latin marks and for full stops, so that long runs take linear time.
    """
    code_point, byte = _decode(data, mark)
    if code_point == _BREAK:
        return _skip(data, byte, stop, sets, _SPACE)[0]
    kind = 2 if code_point == _STOP else 0 if sets[code_point] & _CHINESE_END else 1
    if mark < refused[kind]:
        return -1
    if kind < 2:
        byte, there = _skip(data, byte, stop, sets, _LATIN_RUN if kind else _CHINESE_RUN)
    else:
        while byte < stop and data[byte] == _STOP:
            byte += 1
        there = _CLOSING  # perhaps
    behind = byte
    if there & _CLOSING:
        behind, there = _skip(data, byte, stop, sets, _CLOSING)
    spaced, beyond = behind, there
    if there & _SPACE:
        spaced, beyond = _skip(data, behind, stop, sets, _SPACE)
    if kind < 2:
        is_end = there & (_LATIN_GOES_ON if kind else _CHINESE_GOES_ON) == 0
    else:
        is_end = spaced == stop or (spaced > behind and beyond & _NO_BEGINNING == 0)
        if byte == mark + 1:  # what stands before counts for the first full stop alone
            if is_end:
                is_end = not _is_abbreviated(data, start, mark, stop, sets, abbreviated)
            else:
                is_end = there & _HAN != 0 and _was_in(data, mark, start, sets, _HAN)
    if not is_end:
        refused[kind] = byte
        return -1
    return spaced


@njit(cache=True, nogil=True)
def _sentence_ends(data, offsets, sets, abbreviated):
    longest_bytes = 0
    for row in range(offsets.size - 1):
        longest_bytes = max(longest_bytes, offsets[row + 1] - offsets[row])
    words = np.empty((longest_bytes + 7) // 8, np.uint64)
    positions = np.empty(longest_bytes + 1, np.int32)
    refused = np.empty(3, np.int64)
    ends = np.empty(2 * offsets.size, np.int64)
    row_offsets = np.zeros(offsets.size, np.int64)
    num_ends = 0
    for row in range(offsets.size - 1):
        start, stop = offsets[row], offsets[row + 1]
        num_marks = _find_marks(data[start:stop], words, positions)
        if ends.size <= num_ends + num_marks:
            grown = np.empty(2 * (num_ends + num_marks) + 1, np.int64)
            grown[:num_ends] = ends[:num_ends]
            ends = grown
        refused[:] = start
        end, has_text = start, False
        for mark in positions[:num_marks]:
            if start + mark < end:
                continue
            behind = _behind_sentence(data, start, start + mark, stop, sets, abbreviated, refused)
            if behind >= 0:
                end = behind
                # Space before the first sentence belongs to it.
                if has_text or _skip(data, start, stop, sets, _SPACE)[0] < end:
                    has_text = True
                    ends[num_ends] = end
                    num_ends += 1
        if stop > start and (num_ends == row_offsets[row] or ends[num_ends - 1] < stop):
            ends[num_ends] = stop
            num_ends += 1
        row_offsets[row + 1] = num_ends
    return ends[:num_ends].copy(), row_offsets
