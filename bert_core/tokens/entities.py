"""Entries of lexicons found in text and laid onto tokens, for masking policies that hide whole entities.

All lexicons are searched at once, leftmost match first and the longest of those, so matches never overlap. A match
counts where it begins and ends at borders of tokens that begin words: `art` is not found in `smart`. An entry that
stands in several lexicons belongs to the first. Nothing here guesses entities that no lexicon names.

Source: Sun et al. 2019, ERNIE (arXiv:1904.09223); Aho and Corasick 1975.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_core.errors import RequestError
from bert_core.tokens.arrow_texts import Texts, text_rows

if TYPE_CHECKING:
    from bert_core.tokens.tokenizer import TokenizedTexts

MIN_ENTRY_CHARACTERS = 2
"""Shorter entries are ignored: a single Han character is a token anyway."""
MAX_LEXICONS = 127
"""Indexes of lexicons are stored in one signed byte."""


class EntityMatcher:
    """Several lexicons, ready to be searched for."""

    def __init__(self, lexicons: Sequence[Path]) -> None:
        """Read lexicon files: UTF-8, one entry a line, anything after a tab ignored.

        Raises:
            RequestError: a file is missing, is not UTF-8 or has no entry; or there are too many.
        """
        if len(lexicons) > MAX_LEXICONS:
            raise RequestError(f"words.lexicons: {len(lexicons)} files, expected at most {MAX_LEXICONS}; join some")
        self.num_lexicons = len(lexicons)
        self.entries: dict[str, int] = {}
        """Index of the lexicon that each entry belongs to."""
        for index, path in enumerate(lexicons):
            for entry in read_lexicon(path):
                self.entries.setdefault(entry, index)
        digest = hashlib.sha256()
        for entry, index in sorted(self.entries.items()):
            digest.update(f"{index}\t{entry}\n".encode())
        self.digest = digest.hexdigest()

    def match(self, texts: Texts, tokenized: "TokenizedTexts") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Find entities.

        Example: with 北京大学 in a lexicon, 我在北京大学 in single characters gives starts `[2]`, lengths `[4]`.

        Args:
            texts: as given to `encode`.
            tokenized: what `encode` made of them.

        Returns:
            starts int32 (first token of each entity, counted in its row), lengths int32 (tokens), lexicon_index int8,
            each (num_entities,), ascending and without overlap in each row; and row_offsets int64 (num_texts + 1,).
        """
        row_offsets = np.zeros(len(texts) + 1, np.int64)
        found: list[np.ndarray] = []
        if self.entries:
            begins_word = ~tokenized.continues
            for row, text in enumerate(text_rows(texts)):
                tokens = slice(tokenized.row_offsets[row], tokenized.row_offsets[row + 1])
                matches = np.array(self._automaton.find_matches_as_indexes(text), np.int64).reshape(-1, 3)
                found.append(
                    self._on_tokens(
                        matches, tokenized.char_starts[tokens], tokenized.char_ends[tokens], begins_word[tokens]
                    )
                )
                row_offsets[row + 1] = len(found[-1])
        np.cumsum(row_offsets, out=row_offsets)
        columns = np.concatenate(found) if found else np.zeros((0, 3), np.int64)
        return (
            columns[:, 0].astype(np.int32),
            columns[:, 1].astype(np.int32),
            columns[:, 2].astype(np.int8),
            row_offsets,
        )

    def _on_tokens(
        self, matches: np.ndarray, char_starts: np.ndarray, char_ends: np.ndarray, begins_word: np.ndarray
    ) -> np.ndarray:
        """Return first token, number of tokens and lexicon of the matches that fall on borders of tokens."""
        if not len(matches) or not len(char_starts):
            return np.zeros((0, 3), np.int64)
        pattern, char_start, char_end = matches.T
        first = np.searchsorted(char_starts, char_start)
        stop = np.searchsorted(char_ends, char_end, side="right")
        ends_word = np.append(begins_word, True)
        inside = np.minimum(first, len(char_starts) - 1)
        fits = (first < stop) & (char_starts[inside] == char_start) & (char_ends[stop - 1] == char_end)
        fits &= begins_word[inside] & ends_word[stop]
        return np.stack([first, stop - first, self._lexicon_of_pattern[pattern]], axis=1)[fits]

    @cached_property
    def _lexicon_of_pattern(self) -> np.ndarray:
        return np.array(list(self.entries.values()), np.int64)

    @cached_property
    def _automaton(self) -> Any:
        import ahocorasick_rs

        return ahocorasick_rs.AhoCorasick(
            list(self.entries), matchkind=ahocorasick_rs.MatchKind.LeftmostLongest, store_patterns=False
        )


def read_lexicon(path: Path) -> list[str]:
    """Return the entries of a lexicon file in its order; those of one character are left out.

    Raises:
        RequestError: the file is missing, is not UTF-8 or has no entry.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RequestError(f"{path}: no such lexicon; correct words.lexicons") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise RequestError(f"{path}:{line}: not UTF-8 ({error.reason}); save the lexicon as UTF-8") from None
    entries = [line.split("\t", 1)[0].strip() for line in text.split("\n")]
    entries = [entry for entry in entries if len(entry) >= MIN_ENTRY_CHARACTERS]
    if not entries:
        raise RequestError(f"{path}: no entry of {MIN_ENTRY_CHARACTERS} or more characters, expected one a line")
    return entries
