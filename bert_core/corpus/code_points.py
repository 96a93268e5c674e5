"""Questions about a text's characters, answered by one table look-up for each code point.

Regular expressions cost tens of nanoseconds a character where they find nothing, a look-up in numpy two. Python's
`re` and `unicodedata` stay the authority: the tables are filled by asking them once for every code point, and text
whose normal form depends on more than single characters is left to them (`in_normal_form` returns None).
"""

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from bert_core.store.kept_tables import kept_tables

NUM_CODE_POINTS = 0x110000
_ASKED = (range(0x10000), range(0x1F000, 0x1FC00), range(0x20000, 0x2A6E0))
"""Code points whose normal form is tabled: the first plane, pictographs, rarer Han."""
_BLOCK = 64
_SOURCE = Path(__file__)
_DROPPED, _IN_CONTEXT = np.uint32(0), np.uint32(0xFFFFFFFF)
_JAMO = (*range(0x1100, 0x1200), *range(0xA960, 0xA980), *range(0xD7B0, 0xD800))
_FINAL_SIGMA = 0x3A3


def code_points(text: str) -> np.ndarray:
    """Return the code points of a text, lone surrogates included, uint32 (num_characters,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


@cache
def membership(*characters: str) -> np.ndarray:
    """Table which code points each regular expression of one character matches, one bit for each of them.

    Example: `membership("[０-９]", "[ab]")[ord("b")] == 2`.

    Returns:
        uint8 (NUM_CODE_POINTS,).
    """
    depends_on = f"{sys.version} {_SOURCE.read_text(encoding='utf-8')} {' '.join(characters)}"
    return kept_tables("membership", depends_on, lambda: {"table": _ask_expressions(characters)})["table"]


def _ask_expressions(characters: tuple[str, ...]) -> np.ndarray:
    every = np.arange(NUM_CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    table = np.zeros(NUM_CODE_POINTS, np.uint8)
    for bit, one in enumerate(characters):
        for run in re.finditer(f"(?:{one})+", every):
            table[run.start() : run.end()] |= 1 << bit
    return table


def sets_in(text: str, table: np.ndarray) -> int:
    """Return the union of the sets that a text's characters belong to, one bit for each set."""
    return int(np.bitwise_or.reduce(table[code_points(text)])) if text else 0


def in_normal_form(text: str, of_character: Callable[[str], str]) -> str | None:
    """Bring a text into the form that `of_character` gives each character by itself, where that is enough.

    Returns:
        The form; None where characters of the text may act on one another (combining marks, Hangul letters, the final
        sigma), or where one has a form of several characters.
    """
    forms = _forms(of_character)[code_points(text)]
    if (forms == _IN_CONTEXT).any():
        return None
    return forms[forms != _DROPPED].tobytes().decode("utf-32-le", "surrogatepass")


@cache
def _forms(of_character: Callable[[str], str]) -> np.ndarray:
    """Table the form of each code point: one code point, _DROPPED, or _IN_CONTEXT."""
    asked = Path(of_character.__code__.co_filename)
    sources = " ".join(path.read_text(encoding="utf-8") for path in (_SOURCE, asked))
    depends_on = f"{sys.version} {of_character.__name__} {sources}"
    return kept_tables("forms", depends_on, lambda: {"forms": _ask_every_form(of_character)})["forms"]


def _ask_every_form(of_character: Callable[[str], str]) -> np.ndarray:
    forms = np.full(NUM_CODE_POINTS, _IN_CONTEXT, np.uint32)
    composing = _second_of_compositions()
    for points in _ASKED:
        for first in range(points.start, points.stop, _BLOCK):
            block = range(first, first + _BLOCK)
            text = "".join(map(chr, block))
            alone = composing.isdisjoint(block) and not any(map(unicodedata.combining, text))
            form = of_character(text) if alone else None
            if form == text:  # as in most blocks of Han
                forms[block.start : block.stop] = block
            elif form == "":
                forms[block.start : block.stop] = _DROPPED
            else:
                for point in block:
                    forms[point] = _form(point, of_character, composing)
    forms[_FINAL_SIGMA] = _IN_CONTEXT
    return forms


def _form(point: int, of_character: Callable[[str], str], composing: frozenset[int]) -> int:
    character = chr(point)
    whole = character + unicodedata.normalize("NFKC", character)
    if any(unicodedata.combining(one) or ord(one) in composing for one in whole):
        return int(_IN_CONTEXT)
    form = of_character(character)
    if len(form) > 1:
        return int(_IN_CONTEXT)
    return ord(form) if form else int(_DROPPED)


def _second_of_compositions() -> frozenset[int]:
    """Code points that may melt into the character before them."""
    seconds = set(_JAMO)
    for points in (range(0x10000), range(0x11000, 0x12000)):
        for point in points:
            parts = unicodedata.decomposition(chr(point)).split()
            if len(parts) == 2 and not parts[0].startswith("<"):
                seconds.add(int(parts[1], 16))
    return frozenset(seconds)
