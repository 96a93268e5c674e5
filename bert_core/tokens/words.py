"""Where words begin: every token that starts one, for masking policies that hide whole words.

Chinese text has no spaces, so a segmenter (rjieba, a dictionary and a hidden Markov model) says which characters belong
together; other text is cut by the tokenizer itself. A `##` piece never begins a word, and a border that the
segmenter draws inside a token is ignored. Nothing here knows of lexicons (`entities.py`).

Source: Cui et al. 2021, whole word masking for Chinese BERT (arXiv:1906.08101).
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from bert_core.errors import RequestError, WorkError
from bert_core.tokens.arrow_texts import Texts, text_rows
from bert_core.tokens.characters import code_points_of, is_han

if TYPE_CHECKING:
    from bert_core.tokens.tokenizer import TokenizedTexts

SEGMENTERS = ("none", "rjieba")


def segmenter_digest(name: str) -> str:
    """Name a segmenter together with its version, for fingerprints: `rjieba 0.2.2`, `none`.

    The dictionary is part of the package, so the version stands for it too.

    Raises:
        RequestError: no such segmenter.
    """
    _check(name)
    return name if name == "none" else f"{name} {version(name)}"


def borders_of(rows: list[str]) -> np.ndarray:
    """Return where rjieba begins a word, bool (num_characters,), all rows one after the other."""
    import rjieba

    first_characters = np.cumsum([0] + [len(text) for text in rows], dtype=np.int64)
    borders = np.zeros(first_characters[-1], bool)
    for text, first in zip(rows, first_characters, strict=False):
        if not text:
            continue
        words = rjieba.cut(text)
        ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
        if ends[-1] != len(text):
            raise WorkError(
                f"rjieba: the words of {text[:20]!r}... hold {ends[-1]} characters, expected all {len(text)}; "
                "set words.segmenter to none"
            )
        borders[first] = True
        borders[first + ends[:-1]] = True
    return borders


def word_starts(
    texts: Texts,
    tokenized: "TokenizedTexts",
    segmenter: str,
    find_borders: Callable[[list[str]], np.ndarray] = borders_of,
) -> np.ndarray:
    """Say for each token whether a word begins there.

    Example: 我爱北京playing in tokens `我 爱 北 京 play ##ing` gives `[1, 1, 1, 0, 1, 0]` with rjieba and
    `[1, 1, 1, 1, 1, 0]` with none.

    A word of the segmenter that mixes Han with letters (`T恤`, `AA制`) stays one word; what has no Han in it (3.14,
    don't) is left as the tokenizer cuts it.

    Args:
        texts: as given to `encode`.
        tokenized: what `encode` made of them.
        segmenter: "rjieba", or "none" for every Han character and every other piece between spaces and punctuation.
        find_borders: how rjieba is asked, here or in another process.

    Returns:
        uint8 (num_tokens,), 1 where a word begins.

    Raises:
        RequestError: no such segmenter.
    """
    _check(segmenter)
    starts = ~tokenized.continues
    if segmenter == "rjieba" and len(starts):
        rows = text_rows(texts)
        first_characters = np.cumsum([0] + [len(text) for text in rows], dtype=np.int64)
        places = np.repeat(first_characters[:-1], np.diff(tokenized.row_offsets)) + tokenized.char_starts
        han = is_han(code_points_of("".join(rows))[places])
        touches_han = han.copy()
        touches_han[1:] |= han[:-1]
        starts &= find_borders(rows)[places] | ~touches_han
    return starts.astype(np.uint8)


def _check(name: str) -> None:
    if name not in SEGMENTERS:
        raise RequestError(f"segmenter {name!r}, expected one of {', '.join(SEGMENTERS)}; correct words.segmenter")
