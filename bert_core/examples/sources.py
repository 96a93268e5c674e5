"""Where examples come from: the documents of the corpus, and what a shard of examples says beside its rows.

An example names its sides by places: tokens counted through all documents of the corpus. `sources-*.arrow` has the
documents with their tokens, so a place leads to a document and a token in it. The documents themselves are elsewhere
(`token_documents.py`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bert_core.randomness import mix64
from bert_core.store.schemas import SOURCES, examples_schema
from bert_core.store.shards import read_shards, write_shards

if TYPE_CHECKING:
    from bert_core.examples.token_documents import DocumentIndex
    from bert_core.tokens.tokenizer import WordPieceTokenizer

CORPUS_KEY, CONTINUATIONS = b"corpus_key", b"continuations"
"""Metadata of a schema of examples: a number, and the `##` pieces as bits by id, lowest first, in hexadecimal."""


def reader_metadata(doc_ids: np.ndarray, continuation_entries: np.ndarray) -> dict[bytes, bytes]:
    """Return what a schema of examples must say to readers beside its columns.

    Args:
        doc_ids: of all documents that the examples come from, in order, uint64.
        continuation_entries: true for `##` pieces, bool, shape (vocabulary_size,).
    """
    with np.errstate(over="ignore"):
        key = np.sum(mix64(mix64(doc_ids) + np.arange(len(doc_ids), dtype=np.uint64)), dtype=np.uint64)
    bits = np.packbits(continuation_entries, bitorder="little").tobytes()
    return {CORPUS_KEY: str(int(key)).encode(), CONTINUATIONS: bits.hex().encode()}


def schema_of(index: "DocumentIndex", tokenizer: "WordPieceTokenizer") -> pa.Schema:
    """Return the layout of examples of some documents, with its metadata."""
    schema = examples_schema(
        tokenizer.vocabulary_size,
        with_words=index.has_words,
        with_entities=index.has_entities,
        num_tokens=int(index.num_tokens.sum()),
    )
    return schema.with_metadata(reader_metadata(index.doc_ids, tokenizer.continuation_entries))


def write_sources(index: "DocumentIndex", folder: Path) -> None:
    """Write `sources-*.arrow`, which `Sources.read` reads."""
    columns = {"doc_id": pa.array(index.doc_ids), "num_tokens": pa.array(index.num_tokens.astype(np.uint32))}
    write_shards(folder, "sources", SOURCES, [pa.table(columns)])


@dataclass(frozen=True)
class Sources:
    """The documents that examples come from, in the order in which places in the corpus are counted."""

    doc_ids: np.ndarray
    """uint64, shape (num_documents,)."""
    first_tokens: np.ndarray
    """First token of each document and the end, int64, shape (num_documents + 1,)."""

    @classmethod
    def read(cls, folder: Path) -> "Sources":
        """Read `sources-*.arrow`.

        Raises:
            StoreError: shards are missing or not readable.
        """
        table = read_shards(folder, "sources")
        counts = table.column("num_tokens").to_numpy().astype(np.int64)
        return cls(table.column("doc_id").to_numpy(), np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]))

    def documents_of(self, places: np.ndarray) -> np.ndarray:
        """Return the document in which each place lies, int64."""
        return np.searchsorted(self.first_tokens, places.astype(np.int64), side="right") - 1


def unknown_characters_of(tokens_folder: Path) -> list:
    """Return the characters that the tokens stage found unknown, with their counts; empty without its manifest."""
    path = tokens_folder / "manifest.json"
    counts = json.loads(path.read_text(encoding="utf-8")).get("counts", {}) if path.is_file() else {}
    return counts.get("unknown_characters", [])
