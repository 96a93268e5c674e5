"""A vocabulary compiled for the kernel: one number for each code point, and a trie of the word pieces.

The number of a code point says all that encoding needs to know: `id >= 0` a token by itself (Han, punctuation),
DROPPED, BLANK, UNSURE (leave the text to the library), a range of `items` (a code point that becomes several
characters), or the symbol under which the trie knows a letter. The trie is a double array (base and check, Aoe 1989)
with two roots, one for the beginning of a word and one for `##` pieces. Entries that no text can give (`##汉`,
`[unused1]`, capitals where letters are folded) never enter it.

Source: Aoe 1989, "An efficient digital search algorithm by using a double-array structure", IEEE TSE 15(9).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from bert_core.tokens.characters import CONTEXT, DROP, ISOLATED, NUM_CODE_POINTS, SEVERAL, SPACE, WORD, CharacterTable
from bert_core.tokens.vocabulary_files import CONTINUATION

DROPPED, BLANK, UNSURE = -1, -2, -3
FIRST_LETTER = -4
"""Letters have numbers FIRST_LETTER - symbol; symbol 0 is a letter that no entry has."""
FIRST_SEVERAL = -(1 << 24)
"""Code points that become several characters have numbers FIRST_SEVERAL - row of `item_offsets`."""
BASE, CHECK, VALUE = 0, 1, 2
ROOT = 0
_CONTINUATION_MARK = "\U0010ffff"  # a noncharacter, dropped from text, leads to the root of ## pieces


@dataclass(frozen=True)
class WordPieceTables:
    """What the kernel reads; all int32."""

    numbers: np.ndarray
    """(NUM_CODE_POINTS,)."""
    item_offsets: np.ndarray
    """(num_several + 1,) into items."""
    items: np.ndarray
    """Numbers of the characters that SEVERAL code points become."""
    trie: np.ndarray
    """(num_nodes, 3): base, check (the parent) and value (an id or -1) of each node."""
    continuation_root: int
    """Node from which `##` pieces begin."""
    emitted_ids: np.ndarray
    """uint32, ascending: ids that text can give, [UNK] not among them."""
    tokens_per_byte: int
    """Room to keep for tokens."""


def compile_vocabulary(entries: Sequence[str], unk_id: int, characters: CharacterTable) -> WordPieceTables:
    """Compile a vocabulary for the kernel.

    Args:
        entries: in order of id.
        unk_id: id of [UNK].
        characters: for the vocabulary's lowercase setting.
    """
    is_letter, is_isolated = characters.characters_of(WORD), characters.characters_of(ISOLATED)
    id_of_isolated = np.full(NUM_CODE_POINTS, unk_id, np.int32)
    emitted: list[int] = []
    pieces: list[tuple[str, int]] = []
    for index, entry in enumerate(entries):
        if len(entry) == 1 and is_isolated[ord(entry)]:
            id_of_isolated[ord(entry)] = index
            emitted.append(index)
            if not is_letter[ord(entry)]:
                continue
        goes_on = entry.startswith(CONTINUATION)
        letters = entry[len(CONTINUATION) :] if goes_on else entry
        if letters and all(is_letter[ord(letter)] for letter in letters):
            pieces.append((_CONTINUATION_MARK + letters if goes_on else letters, index))
    pieces.sort()
    emitted.extend(index for _, index in pieces)

    keys = [key for key, _ in pieces]
    flat = np.frombuffer("".join(keys).encode("utf-32-le"), "<u4")
    alphabet = np.unique(np.append(flat, ord(_CONTINUATION_MARK)))
    symbols = np.zeros(NUM_CODE_POINTS, np.int32)
    symbols[alphabet] = np.arange(1, len(alphabet) + 1)
    trie = _build_trie(
        symbols[flat],
        np.cumsum([0] + [len(key) for key in keys], dtype=np.int64),
        np.array([index for _, index in pieces], np.int32),
        len(alphabet) + 1,
    )
    mark = symbols[ord(_CONTINUATION_MARK)]
    child = int(trie[ROOT, BASE] + mark)

    def numbers_of(kinds: np.ndarray, values: np.ndarray) -> np.ndarray:
        choices = [
            np.full(len(kinds), DROPPED, np.int32),
            np.full(len(kinds), BLANK, np.int32),
            id_of_isolated[np.where(kinds == ISOLATED, values, 0)],
            FIRST_LETTER - symbols[np.where(kinds == WORD, values, 0)],
            (FIRST_SEVERAL - values.astype(np.int64)).astype(np.int32),
            np.full(len(kinds), UNSURE, np.int32),
        ]
        order = [DROP, SPACE, ISOLATED, WORD, SEVERAL, CONTEXT]
        return np.select([kinds == kind for kind in order], choices).astype(np.int32)

    return WordPieceTables(
        numbers=numbers_of(characters.kinds, characters.characters),
        item_offsets=characters.several_offsets,
        items=numbers_of(characters.several_kinds, characters.several_characters),
        trie=trie,
        continuation_root=child if trie[child, CHECK] == ROOT else len(trie) - 1,
        emitted_ids=np.array(sorted(set(emitted)), np.uint32),
        tokens_per_byte=characters.tokens_per_byte(),
    )


@njit(cache=True)
def _build_trie(symbols, offsets, values, num_symbols):
    """Build the double array of sorted keys; the last node is one without children.

    symbols int32: all keys one after the other, 1 to num_symbols - 1; offsets int64 (num_keys + 1,);
    values int32 (num_keys,). Each node takes the lowest base at which all its children fall on free places.
    """
    capacity = 2 * len(symbols) + 4 * num_symbols + 64
    trie = np.full((capacity, 3), -1, np.int32)
    trie[:, BASE] = 0
    trie[ROOT, CHECK] = ROOT
    num_nodes = 1
    first_free = 1
    waiting = [(ROOT, 0, len(offsets) - 1, 0)]  # node, keys below it, how many symbols they share
    children = np.zeros(num_symbols, np.int64)
    begins = np.zeros(num_symbols + 1, np.int64)
    while len(waiting) > 0:
        node, low, high, depth = waiting.pop()
        if low < high and offsets[low] + depth == offsets[low + 1]:
            trie[node, VALUE] = values[low]
            low += 1
        if low == high:
            continue
        count = 0
        for key in range(low, high):
            symbol = symbols[offsets[key] + depth]
            if count == 0 or children[count - 1] != symbol:
                children[count] = symbol
                begins[count] = key
                count += 1
        begins[count] = high
        while trie[first_free, CHECK] != -1:
            first_free += 1
        place = max(first_free, children[0])
        taken = 0
        while True:
            if place + num_symbols >= len(trie):
                grown = np.full((2 * len(trie) + num_symbols, 3), -1, np.int32)
                grown[:, BASE] = 0
                grown[: len(trie)] = trie
                trie = grown
            if trie[place, CHECK] != -1:
                place += 1
                taken += 1
                continue
            base = place - children[0]
            fits = True
            for child in range(1, count):
                if trie[base + children[child], CHECK] != -1:
                    fits = False
                    break
            if fits:
                break
            place += 1
            taken += 1
        if taken > 512:  # the holes down there are too small for most; look further up from now on
            first_free = max(first_free, place - 256)
        trie[node, BASE] = base
        for child in range(count):
            trie[base + children[child], CHECK] = node
            num_nodes = max(num_nodes, base + children[child] + 1)
        for child in range(count):
            waiting.append((base + children[child], begins[child], begins[child + 1], depth + 1))
    # a look-up may reach num_symbols beyond the base of any node
    return trie[: num_nodes + num_symbols + 1].copy()
