"""Similar words of a thesaurus: as tables of tokens for the masking policy `similar_word`, as words for augmentation.

The file has the shape of the extended Cilin, one group a line: `Aa01A02= 人类 生人 全人类`. A code that ends in `=`
holds synonyms, in `#` related words, in `@` a word alone. A word is similar to its synonyms of as many tokens as it has
itself (so that every position stays where it is), and where it has none, to its related words of as many tokens.

Words that the vocabulary cannot write without `[UNK]` are left out. Nothing is drawn here; `similar_kernels.py` draws.

Source: Cui et al. 2020 (arXiv:2004.13922), MacBERT, which takes similar words from word vectors; the Cilin groups are
those of Mei et al. 1983, extended by HIT-IR.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bert_core.errors import RequestError

if TYPE_CHECKING:
    from bert_core.tokens.tokenizer import WordPieceTokenizer

_LINE = re.compile(r"(?P<code>\S*[=#@])\s+(?P<words>\S.*)")

Word = tuple[int, ...]
"""A word as its token ids."""


@dataclass(frozen=True)
class SimilarWords:
    """The words of a thesaurus, ordered by number of tokens, then by tokens, and what is similar to each."""

    tokens: np.ndarray
    """Tokens of all words, int32, shape (num_tokens,)."""
    offsets: np.ndarray
    """First token of each word and the end, int64, shape (num_words + 1,)."""
    first_of_length: np.ndarray
    """First word of at least n tokens, for each n, int64, shape (longest + 2,)."""
    similar: np.ndarray
    """Words similar to each word, as numbers of words, int32, shape (num_links,)."""
    similar_offsets: np.ndarray
    """First similar word of each word and the end, int64, shape (num_words + 1,)."""

    @classmethod
    def of(cls, words: dict[Word, set[Word]]) -> "SimilarWords":
        """Lay out words and the words similar to them.

        Example: `{(7, 8): {(9, 8)}, (9, 8): {(7, 8)}, (5,): set()}` gives tokens `[5, 7, 8, 9, 8]`, offsets
        `[0, 1, 3, 5]`, first_of_length `[0, 0, 1, 3]`, similar `[2, 1]` and similar_offsets `[0, 0, 1, 2]`.

        Args:
            words: similar words of each word; those are words of as many tokens that have a place of their own.
        """
        ordered = sorted(words, key=lambda word: (len(word), word))
        number_of = {word: number for number, word in enumerate(ordered)}
        lengths = np.array([len(word) for word in ordered], np.int64)
        links = [sorted(number_of[other] for other in words[word]) for word in ordered]
        longest = int(lengths.max(initial=0))
        return cls(
            tokens=np.array([token for word in ordered for token in word], np.int32),
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            first_of_length=np.searchsorted(lengths, np.arange(longest + 2)).astype(np.int64),
            similar=np.array([other for others in links for other in others], np.int32),
            similar_offsets=np.cumsum([0, *(len(others) for others in links)]).astype(np.int64),
        )

    @classmethod
    def read(cls, path: Path, tokenizer: "WordPieceTokenizer") -> "SimilarWords":
        """Read a thesaurus and turn it into tokens.

        Raises:
            RequestError: the file is missing, is not UTF-8, has a line of another shape, or no two similar words of as
                many tokens.
        """
        groups = read_thesaurus(path)
        texts = sorted({word for _, words in groups for word in words})
        tokenized = tokenizer.encode(texts)
        word_of: dict[str, Word] = {}
        for row, text in enumerate(texts):
            ids = tokenized.ids[tokenized.row_offsets[row] : tokenized.row_offsets[row + 1]]
            if len(ids) and tokenizer.unk_id not in ids:
                word_of[text] = tuple(ids.tolist())
        synonyms: dict[Word, set[Word]] = defaultdict(set)
        related: dict[Word, set[Word]] = defaultdict(set)
        for kind, texts_of_group in groups:
            by_length: dict[int, set[Word]] = defaultdict(set)
            for text in texts_of_group:
                if text in word_of:
                    by_length[len(word_of[text])].add(word_of[text])
            if kind != "@":
                links = synonyms if kind == "=" else related
                for words in by_length.values():
                    for word in words:
                        links[word] |= words
        chosen = {}
        for word in set(word_of.values()):
            chosen[word] = (synonyms.get(word, set()) - {word}) or (related.get(word, set()) - {word})
        if not any(chosen.values()):
            raise RequestError(
                f"{path}: no two similar words of as many tokens among {len(texts)} words, expected lines such as "
                "'Aa01A02= 人类 生人'; check masking.thesaurus and the vocabulary"
            )
        return cls.of(chosen)

    @classmethod
    def empty(cls) -> "SimilarWords":
        """A thesaurus without words."""
        return cls.of({})

    @property
    def num_words(self) -> int:
        """Number of words, those without a similar one included."""
        return len(self.offsets) - 1

    def similar_to(self, word: Word) -> set[Word]:
        """Return the words similar to `word`; for a person to look at, not for the loops."""
        from bert_core.examples.similar_kernels import find_word

        number = find_word(np.array(word, np.int32), self.tokens, self.offsets, self.first_of_length) if word else -1
        if number < 0:
            return set()
        links = self.similar[self.similar_offsets[number] : self.similar_offsets[number + 1]]
        return {self._word(other) for other in links}

    def _word(self, number: int) -> Word:
        return tuple(self.tokens[self.offsets[number] : self.offsets[number + 1]].tolist())


def synonyms_of_words(path: Path, setting: str) -> dict[str, tuple[str, ...]]:
    """Return the synonyms of every word of a thesaurus that has some, over all groups that the word stands in.

    Example: the lines `A01= 人 人士` and `B01= 人 口` give 人 -> (人士, 口), 人士 -> (人,), 口 -> (人,). Groups of
    related words (`#`) give none.

    Args:
        path: of the thesaurus.
        setting: the recipe's setting that names it, for messages.

    Raises:
        RequestError: as `read_thesaurus`, or no line holds two synonyms.
    """
    synonyms: dict[str, set[str]] = defaultdict(set)
    for kind, words in read_thesaurus(path, setting):
        if kind == "=" and len(words) > 1:
            for word in words:
                synonyms[word].update(words)
    found = {word: tuple(sorted(others - {word})) for word, others in sorted(synonyms.items())}
    if not any(found.values()):
        raise RequestError(
            f"{path}: no line with two synonyms, expected lines such as 'Aa01A02= 人类 生人'; correct {setting}"
        )
    return {word: others for word, others in found.items() if others}


def read_thesaurus(path: Path, setting: str = "masking.thesaurus") -> list[tuple[str, list[str]]]:
    """Return kind (`=`, `#` or `@`) and words of each group of a thesaurus, in the order of the file.

    A byte order mark, CRLF and empty lines are passed over.

    Raises:
        RequestError: the file is missing, is not UTF-8 or has a line of another shape.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        raise RequestError(f"{path}: no such thesaurus; correct {setting}") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise RequestError(f"{path}:{line}: not UTF-8 ({error.reason}); save the thesaurus as UTF-8") from None
    groups = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise RequestError(
                f"{path}:{number}: {line.strip()[:40]!r}, expected a code that ends in '=', '#' or '@', then words, "
                f"such as 'Aa01A02= 人类 生人'; correct the line or {setting}"
            )
        groups.append((found["code"][-1], found["words"].split()))
    return groups
