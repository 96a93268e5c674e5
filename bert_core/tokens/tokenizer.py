"""Text to WordPiece ids with character offsets, equal to what the tokenizers library's BERT tokenizer gives.

`encode` adds no special tokens and never reads one out of text. It does not train vocabularies (`vocabulary.py`)
and knows nothing of words or sentences (`words.py`, `tokens.py`).

Source: Devlin et al. 2019 (arXiv:1810.04805); Wu et al. 2016 (arXiv:1609.08144), section 4.1, for WordPiece; the
tokenizers library's BertNormalizer, BertPreTokenizer and WordPiece, which define every detail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.store.fingerprint import fingerprint_of
from bert_core.tokens.vocabulary_files import (
    CLS,
    CONTINUATION,
    MASK,
    PAD,
    SEP,
    UNK,
    check_entries,
    library_tokenizer,
    load_vocabulary,
    lowercase_of,
)


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
    continues: np.ndarray
    """bool (num_tokens,): true for a `##` piece, which goes on with the word of the token before."""


class WordPieceTokenizer:
    """A WordPiece vocabulary and the way from text to its ids."""

    def __init__(self, entries: Sequence[str], lowercase: bool) -> None:
        check_entries(entries, "vocabulary")
        self.entries = list(entries)
        self.lowercase = lowercase
        self.vocabulary_size = len(self.entries)
        ids = {entry: index for index, entry in enumerate(self.entries)}
        self.pad_id, self.unk_id, self.cls_id = ids[PAD], ids[UNK], ids[CLS]
        self.sep_id, self.mask_id = ids[SEP], ids[MASK]
        self.digest = fingerprint_of({"entries": self.entries, "lowercase": lowercase})
        self._is_continuation = np.array([entry.startswith(CONTINUATION) for entry in self.entries])

    @classmethod
    def from_folder(cls, folder: Path) -> "WordPieceTokenizer":
        """Load a vocabulary folder or a BERT's model folder."""
        return cls(load_vocabulary(folder), lowercase_of(folder))

    @classmethod
    def from_vocabulary(cls, entries: Sequence[str], *, lowercase: bool) -> "WordPieceTokenizer":
        """Make a tokenizer of entries in order of id."""
        return cls(entries, lowercase)

    @cached_property
    def _library(self) -> Any:
        return library_tokenizer(self.entries, self.lowercase)

    def encode(self, texts: Sequence[str] | pa.Array | pa.ChunkedArray, *, num_threads: int = 1) -> TokenizedTexts:
        """Turn texts into ids with character offsets."""
        rows = texts.to_pylist() if isinstance(texts, (pa.Array, pa.ChunkedArray)) else list(texts)
        found = self._library.encode_batch([row or "" for row in rows])
        lengths = [len(one.ids) for one in found]
        offsets = np.array([pair for one in found for pair in one.offsets], np.int32).reshape(-1, 2)
        ids = np.array([index for one in found for index in one.ids], np.int32)
        return TokenizedTexts(
            ids,
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.ascontiguousarray(offsets[:, 0]),
            np.ascontiguousarray(offsets[:, 1]),
            self._is_continuation[ids],
        )

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Join tokens to text as the library does; special tokens are shown."""
        return self._library.decode([int(index) for index in ids], skip_special_tokens=False)

    def replacement_pool(self) -> np.ndarray:
        """Return the ids that the tokenizer can emit, uint32, ascending."""
        pool = [
            index
            for index, entry in enumerate(self.entries)
            if not (len(entry) > 1 and entry.startswith("[") and entry.endswith("]"))
            and not (entry.startswith(CONTINUATION) and "\u3400" <= entry[2:3] <= "\u9fff")
        ]
        return np.array(pool, np.uint32)
