"""Text to WordPiece ids with character offsets, equal to what the tokenizers library's BERT tokenizer gives.

`encode` adds no special tokens and never reads one out of text. The work is done by `wordpiece_kernel.py` over
the bytes of Arrow columns; the few texts whose marks the library would reorder go to the library itself. It does not
train vocabularies (`vocabulary.py`) and knows nothing of words or sentences (`words.py`, `tokens.py`).

Source: Devlin et al. 2019 (arXiv:1810.04805); Wu et al. 2016 (arXiv:1609.08144), section 4.1, for WordPiece; the
tokenizers library's BertNormalizer, BertPreTokenizer and WordPiece, which define every detail.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_core.store.fingerprint import fingerprint_of
from bert_core.tokens.arrow_texts import Texts, row_ranges, utf8_of
from bert_core.tokens.vocabulary_files import (
    CLS,
    CONTINUATION,
    MASK,
    PAD,
    SEP,
    UNK,
    check_entries,
    folding_of,
    library_tokenizer,
    load_vocabulary,
)

if TYPE_CHECKING:  # numba takes a while to import, and commands that only plan encode nothing
    from bert_core.tokens.wordpiece_tables import WordPieceTables

_PART_BYTES = 8 << 20


@dataclass(frozen=True)
class TokenizedTexts:
    """Tokens of several texts, one after the other, without special tokens."""

    ids: np.ndarray
    """int32 (num_tokens,)."""
    row_offsets: np.ndarray
    """int64 (num_texts + 1,): text r has tokens row_offsets[r] to row_offsets[r + 1]."""
    char_starts: np.ndarray
    """int32 (num_tokens,): first character of each token in its text, in code points."""
    char_ends: np.ndarray
    """int32 (num_tokens,): one past its last character."""
    continuation_entries: np.ndarray
    """bool (vocabulary_size,): true for the ids of `##` pieces."""

    @property
    def continues(self) -> np.ndarray:
        """True for a `##` piece, bool (num_tokens,): it goes on with the word of the token before."""
        return self.continuation_entries[self.ids]


class WordPieceTokenizer:
    """A WordPiece vocabulary and the way from text to its ids.

    Example: with the entries `[PAD] [UNK] [CLS] [SEP] [MASK] 我 play ##ing` (ids 0 to 7), `encode(["我playing"])`
    gives ids `[5, 6, 7]`, char_starts `[0, 1, 5]` and char_ends `[1, 5, 8]`.

    Attributes:
        entries: list of str, in order of id.
        lowercase: whether letters are folded.
        strip_accents: whether accents are stripped.
        vocabulary_size: number of entries.
        pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special entries.
        digest: sha256 over entries, lowercase and strip_accents, 64 hexadecimal digits.
    """

    def __init__(self, entries: Sequence[str], lowercase: bool, strip_accents: bool | None = None) -> None:
        check_entries(entries, "vocabulary")
        self.entries = list(entries)
        self.lowercase = lowercase
        self.strip_accents = lowercase if strip_accents is None else strip_accents
        self.vocabulary_size = len(self.entries)
        ids = {entry: index for index, entry in enumerate(self.entries)}
        self.pad_id, self.unk_id, self.cls_id = ids[PAD], ids[UNK], ids[CLS]
        self.sep_id, self.mask_id = ids[SEP], ids[MASK]
        self.digest = fingerprint_of(
            {"entries": self.entries, "lowercase": lowercase, "strip_accents": self.strip_accents}
        )

    @classmethod
    def from_folder(cls, folder: Path) -> "WordPieceTokenizer":
        """Load a vocabulary folder or a BERT's model folder.

        Raises:
            RequestError: no usable vocabulary there.
        """
        return cls(load_vocabulary(folder), *folding_of(folder))

    @classmethod
    def from_vocabulary(
        cls, entries: Sequence[str], *, lowercase: bool, strip_accents: bool | None = None
    ) -> "WordPieceTokenizer":
        """Make a tokenizer of entries in order of id; accents are stripped as `lowercase` says where it is not said.

        Raises:
            RequestError: special entries are missing, or an entry stands twice.
        """
        return cls(entries, lowercase, strip_accents)

    def encode(self, texts: Texts, *, num_threads: int = 1) -> TokenizedTexts:
        """Turn texts into ids with character offsets, without special tokens.

        Args:
            texts: strings; a null counts as an empty text.
            num_threads: threads that share the texts; the result does not depend on it.

        Raises:
            RequestError: a string is no Unicode text (it holds a lone surrogate).
        """
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        for data, offsets in utf8_of(texts, may_end_in_nul=True):  # which is dropped from text
            ranges = row_ranges(offsets, num_threads, _PART_BYTES)
            parts += [(data, offsets[first : stop + 1]) for first, stop in ranges]
        if num_threads > 1 and len(parts) > 1:
            with ThreadPoolExecutor(num_threads) as pool:
                done = list(pool.map(lambda part: self._encode_part(*part), parts))
        else:
            done = [self._encode_part(*part) for part in parts]
        columns = [_joined([one[column] for one in done], np.int32) for column in range(3)]
        lengths = _joined([one[3] for one in done], np.int64)
        row_offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=row_offsets[1:])
        return TokenizedTexts(columns[0], row_offsets, columns[1], columns[2], self.continuation_entries)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Join tokens to text as the library does; special tokens are shown."""
        return self._library.decode([int(index) for index in ids], skip_special_tokens=False)

    def replacement_pool(self) -> np.ndarray:
        """Return the ids that text can give: no special entry, no `[unused1]`, no `##汉`; uint32, ascending.

        They are what masking may put in place of a token: a third of Google's Chinese vocabulary is `##汉` pieces,
        which no text ever gives.
        """
        return self._tables.emitted_ids

    @cached_property
    def _library(self) -> Any:
        return library_tokenizer(self.entries, self.lowercase, self.strip_accents)

    @cached_property
    def _tables(self) -> "WordPieceTables":
        return _compiled(tuple(self.entries), self.unk_id, self.lowercase, self.strip_accents)

    @cached_property
    def continuation_entries(self) -> np.ndarray:
        """True for the entries that go on with a word, `##` pieces, bool (vocabulary_size,)."""
        return np.array([entry.startswith(CONTINUATION) for entry in self.entries])

    def _encode_part(
        self, data: np.ndarray, offsets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Encode rows of UTF-8; return ids, char_starts, char_ends and the tokens of each row."""
        from bert_core.tokens.wordpiece_kernel import encode_rows

        tables, num_rows = self._tables, len(offsets) - 1
        room = int(offsets[-1] - offsets[0]) * tables.tokens_per_byte
        columns = [np.empty(room, np.int32) for _ in range(3)]
        row_ends, left_out = np.zeros(num_rows, np.int64), np.zeros(num_rows, np.bool_)
        num_tokens = encode_rows(
            data,
            offsets,
            tables.numbers,
            tables.item_offsets,
            tables.items,
            tables.trie,
            tables.continuation_root,
            self.unk_id,
            columns[0],
            columns[1],
            columns[2],
            row_ends,
            left_out,
        )
        tokens = [column[:num_tokens] for column in columns]
        lengths = np.diff(row_ends, prepend=0)
        for row in np.flatnonzero(left_out)[::-1]:  # from the last on, so that row_ends stay valid
            encoding = self._library.encode(bytes(data[offsets[row] : offsets[row + 1]]).decode())
            spans = np.array(encoding.offsets, np.int32).reshape(-1, 2)
            for column, values in enumerate((np.array(encoding.ids, np.int32), spans[:, 0], spans[:, 1])):
                tokens[column] = np.insert(tokens[column], row_ends[row], values)
            lengths[row] = len(encoding.ids)
        return tokens[0], tokens[1], tokens[2], lengths


@lru_cache(maxsize=2)
def _compiled(entries: tuple[str, ...], unk_id: int, lowercase: bool, strip_accents: bool) -> "WordPieceTables":
    """Compile a vocabulary once for all stages of a process."""
    from bert_core.tokens.characters import load_characters
    from bert_core.tokens.wordpiece_tables import compile_vocabulary

    return compile_vocabulary(entries, unk_id, load_characters(lowercase, strip_accents))


def _joined(arrays: list[np.ndarray], dtype: Any) -> np.ndarray:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype)
