"""Documents to tokens: ids without special tokens, lengths of sentences, word starts and entities, one row a document.

Documents are read in chunks of bounded size, so memory does not grow with the corpus. A token belongs to the sentence
in which it begins. Sentences without tokens vanish; documents without tokens are counted and left out. Pairs,
masks and special tokens come later (`bert_core/examples`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bert_core.config import WordsConfig
from bert_core.progress import Progress, silent
from bert_core.store.schemas import tokens_schema
from bert_core.store.shards import list_array, read_shard, shard_paths, token_type, write_shards
from bert_core.tokens.arrow_texts import Texts, utf8_of
from bert_core.tokens.entities import EntityMatcher
from bert_core.tokens.ordered_threads import available_threads, map_in_order
from bert_core.tokens.segmenting import SegmentingProcesses
from bert_core.tokens.tokenizer import TokenizedTexts, WordPieceTokenizer
from bert_core.tokens.words import borders_of, word_starts

CHUNK_BYTES = 1 << 19
"""Text that one thread works on at once, bytes; a single longer document is a chunk of its own."""
BYTES_FOR_PROCESSES = 32 << 20
"""Size of the documents shards from which segmentation is worth processes of its own, bytes."""
SHARD_BYTES = 32 << 20
"""Of tokens, bytes; pairs are built shard by shard, with two in memory while one gives way to the next."""
NUM_UNKNOWN_CHARACTERS = 20
"""How many of the most frequent unknown characters the counts name."""


def build_tokens(
    documents_folder: Path,
    vocabulary_folder: Path,
    words: WordsConfig,
    lexicon_paths: Sequence[Path],
    folder: Path,
    progress: Progress = silent,
    num_threads: int | None = None,
) -> dict[str, Any]:
    """Write the tokens shards of a corpus.

    Args:
        documents_folder: with documents shards.
        vocabulary_folder: with the vocabulary.
        words: how words are found.
        lexicon_paths: lexicon files, in the order of the recipe.
        folder: where `tokens-*.arrow` go; must exist.
        progress: listener, in documents.
        num_threads: threads that share the documents, empty for all processors; the result does not depend on it.

    Returns:
        Counts: documents, documents_without_tokens, characters, sentences, tokens, words, entities, unknown_tokens,
        unknown_share (0 to 1), unknown_characters (pairs of character and count, most frequent first).

    Raises:
        RequestError: the vocabulary or a lexicon cannot be used.
        StoreError: documents shards are missing or damaged.
    """
    tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
    matcher = EntityMatcher(lexicon_paths)
    paths = shard_paths(documents_folder, "documents")
    num_documents = sum(read_shard(path).num_rows for path in paths)
    counts: Counter[str] = Counter()
    in_unknown: Counter[str] = Counter()  # characters of unknown tokens

    num_threads = num_threads or available_threads()
    num_bytes = sum(path.stat().st_size for path in paths)
    has_words, has_entities = words.segmenter != "none", len(lexicon_paths) > 0
    in_processes = words.segmenter != "none" and num_threads > 1 and num_bytes >= BYTES_FOR_PROCESSES

    def tables() -> Iterator[pa.Table]:
        with SegmentingProcesses(num_threads if in_processes else 0) as processes:
            find_borders = processes.borders_of if in_processes else borders_of
            parts = map_in_order(
                lambda chunk: _tokens_of(chunk, tokenizer, matcher, words.segmenter, find_borders),
                _chunks(paths),
                num_threads,
            )
            for part in parts:
                counts.update(part.counts)
                in_unknown.update(part.in_unknown)
                yield part.table
                progress(counts["read"], num_documents, "documents")

    schema = tokens_schema(tokenizer.vocabulary_size, with_words=has_words, with_entities=has_entities)
    write_shards(folder, "tokens", schema, tables(), shard_bytes=SHARD_BYTES)
    return {
        "documents": counts["documents"],
        "documents_without_tokens": counts["read"] - counts["documents"],
        "characters": counts["characters"],
        "sentences": counts["sentences"],
        "tokens": counts["tokens"],
        "words": counts["words"],
        "entities": counts["entities"],
        "unknown_tokens": counts["unknown_tokens"],
        "unknown_share": round(counts["unknown_tokens"] / max(counts["tokens"], 1), 6),
        "unknown_characters": _most_frequent_unknown(in_unknown, tokenizer),
    }


def sentence_lengths(texts: Texts, tokenized: TokenizedTexts) -> tuple[np.ndarray, np.ndarray, int]:
    """Count the tokens of each sentence.

    Example: 好。走吧！ in single characters has sentences of 2 and 3 tokens.

    Args:
        texts: as given to `encode`.
        tokenized: what `encode` made of them.

    Returns:
        lengths int32 (num_sentences,), tokens, each at least 1, adding up to the tokens of each row; row_offsets
        int64 (num_texts + 1,); and the number of characters of all texts.
    """
    from bert_core.corpus.sentence_kernel import sentence_ends
    from bert_core.tokens.token_kernels import count_tokens

    [(data, offsets)] = utf8_of(texts)
    ends, end_offsets = sentence_ends(data, offsets)
    return count_tokens(data, offsets, ends, end_offsets, tokenized.char_starts, tokenized.row_offsets)


@dataclass(frozen=True)
class _Part:
    """The tokens of a chunk of documents, and what they add to the counts."""

    table: pa.Table
    counts: dict[str, int]
    in_unknown: dict[str, int]


def _tokens_of(
    documents: pa.RecordBatch,
    tokenizer: WordPieceTokenizer,
    matcher: EntityMatcher,
    segmenter: str,
    find_borders: Callable[[list[str]], np.ndarray],
) -> _Part:
    """Return the tokens rows of a chunk of documents."""
    from bert_core.tokens.token_kernels import narrow

    texts = documents.column("text")
    tokenized = tokenizer.encode(texts)
    lengths, sentence_offsets, num_characters = sentence_lengths(texts, tokenized)
    ids_type = token_type(tokenizer.vocabulary_size)
    ids = np.empty(len(tokenized.ids), ids_type.to_pandas_dtype())
    num_words, num_unknown = narrow(tokenized.ids, tokenized.continuation_entries, tokenizer.unk_id, ids)
    is_unknown = np.flatnonzero(ids == tokenizer.unk_id) if num_unknown else np.zeros(0, np.int64)
    is_filled = np.diff(tokenized.row_offsets) > 0

    def rows(offsets: np.ndarray) -> np.ndarray:
        """Leave documents without tokens out; their rows are empty, so the values stay as they are."""
        return offsets if is_filled.all() else np.append(offsets[:-1][is_filled], offsets[-1])

    doc_ids = documents.column("doc_id")
    columns = {
        "doc_id": doc_ids if is_filled.all() else doc_ids.filter(pa.array(is_filled)),
        "input_ids": list_array(ids, rows(tokenized.row_offsets), ids_type),
        "sentence_lengths": list_array(lengths, rows(sentence_offsets), pa.int32()),
    }
    if segmenter != "none":
        starts = word_starts(texts, tokenized, segmenter, find_borders)
        num_words = np.count_nonzero(starts)
        columns["word_starts"] = list_array(starts, rows(tokenized.row_offsets), pa.bool_())
    num_entities = 0
    if matcher.num_lexicons:
        entity_starts, entity_lengths, entity_lexicons, entity_offsets = matcher.match(texts, tokenized)
        num_entities = len(entity_starts)
        columns |= {
            "entity_starts": list_array(entity_starts, rows(entity_offsets), pa.int32()),
            "entity_lengths": list_array(entity_lengths, rows(entity_offsets), pa.int32()),
            "entity_lexicons": list_array(entity_lexicons, rows(entity_offsets), pa.int8()),
        }
    counts = {
        "read": len(texts),
        "documents": int(is_filled.sum()),
        "characters": int(num_characters),
        "sentences": len(lengths),
        "tokens": len(tokenized.ids),
        "words": int(num_words),
        "entities": num_entities,
        "unknown_tokens": int(num_unknown),
    }
    return _Part(pa.table(columns), counts, _characters_of(texts, tokenized, is_unknown))


def _characters_of(texts: pa.Array, tokenized: TokenizedTexts, tokens: np.ndarray) -> dict[str, int]:
    """Count the characters that some tokens stand for."""
    from bert_core.tokens.token_kernels import characters_of

    if not len(tokens):
        return {}
    [(data, offsets)] = utf8_of(texts)
    rows = np.searchsorted(tokenized.row_offsets, tokens, side="right") - 1
    found = characters_of(data, offsets, rows, tokenized.char_starts[tokens], tokenized.char_ends[tokens])
    points, counts = np.unique(found, return_counts=True)
    return {chr(point): count for point, count in zip(points.tolist(), counts.tolist(), strict=True)}


def _most_frequent_unknown(in_unknown: Counter[str], tokenizer: WordPieceTokenizer) -> list[list[Any]]:
    """Return the characters that are unknown by themselves with their counts; ties go to the lower code point."""
    characters = sorted(in_unknown, key=lambda character: (-in_unknown[character], character))
    alone = tokenizer.encode(characters)
    unknown_rows = np.searchsorted(alone.row_offsets, np.flatnonzero(alone.ids == tokenizer.unk_id), side="right") - 1
    found = [characters[row] for row in dict.fromkeys(unknown_rows.tolist())]
    return [[character, in_unknown[character]] for character in found[:NUM_UNKNOWN_CHARACTERS]]


def _chunks(paths: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """Cut documents into runs of at most CHUNK_BYTES of text, at least one each; shards are mapped one by one."""
    for path in paths:
        for batch in read_shard(path).select(["doc_id", "text"]).to_batches():
            num_bytes = pc.call_function("binary_length", [batch.column("text")]).to_numpy(zero_copy_only=False)
            ends = np.cumsum(num_bytes, dtype=np.int64)
            first = 0
            while first < batch.num_rows:
                done = int(ends[first - 1]) if first else 0
                stop = max(int(np.searchsorted(ends, done + CHUNK_BYTES, side="right")), first + 1)
                yield batch.slice(first, stop - first)
                first = stop
