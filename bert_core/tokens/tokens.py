"""Documents to tokens: ids without special tokens, lengths of sentences, word starts and entities, one row a document.

Documents are read in chunks of bounded size, so memory does not grow with the corpus. A token belongs to the sentence
in which it begins. Sentences without tokens vanish; documents without tokens are counted and left out. Pairs,
masks and special tokens come later (`bert_core/examples`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bert_core.config import WordsConfig
from bert_core.corpus.sentences import split_sentences
from bert_core.progress import Progress, silent
from bert_core.store.schemas import tokens_schema
from bert_core.store.shards import list_array, read_shard, shard_paths, token_type, write_shards
from bert_core.tokens.entities import EntityMatcher
from bert_core.tokens.tokenizer import TokenizedTexts, WordPieceTokenizer
from bert_core.tokens.words import word_starts

CHUNK_BYTES = 4 << 20
"""Text that is worked on at once, bytes; a single longer document is a chunk of its own."""
NUM_UNKNOWN_CHARACTERS = 20
"""How many of the most frequent unknown characters the counts name."""


def build_tokens(
    documents_folder: Path,
    vocabulary_folder: Path,
    words: WordsConfig,
    lexicon_paths: Sequence[Path],
    folder: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the tokens shards of a corpus.

    Args:
        documents_folder: with documents shards.
        vocabulary_folder: with the vocabulary.
        words: how words are found.
        lexicon_paths: lexicon files, in the order of the recipe.
        folder: where `tokens-*.arrow` go; must exist.
        progress: listener, in documents.

    Returns:
        Counts: documents, documents_without_tokens, characters, sentences, tokens, words, entities, unknown_tokens,
        unknown_share (0 to 1), unknown_characters (pairs of character and count, most frequent first).

    Raises:
        RequestError: the vocabulary or a lexicon cannot be used.
        StoreError: documents shards are missing or damaged.
    """
    tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
    matcher = EntityMatcher(lexicon_paths)
    shards = [read_shard(path) for path in shard_paths(documents_folder, "documents")]
    num_documents = sum(shard.num_rows for shard in shards)
    counts: Counter[str] = Counter()
    in_unknown: Counter[str] = Counter()  # characters of unknown tokens

    def tables() -> Iterator[pa.Table]:
        for chunk in _chunks(shards):
            yield _tokens_of(chunk, tokenizer, matcher, words.segmenter, counts, in_unknown)
            progress(counts["read"], num_documents, "documents")

    write_shards(folder, "tokens", tokens_schema(tokenizer.vocabulary_size), tables())
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


def sentence_lengths(texts: Sequence[str], tokenized: TokenizedTexts) -> tuple[np.ndarray, np.ndarray]:
    """Count the tokens of each sentence.

    Example: 好。走吧！ in single characters has sentences of 2 and 3 tokens.

    Args:
        texts: as given to `encode`.
        tokenized: what `encode` made of them.

    Returns:
        lengths int32 (num_sentences,), tokens, each at least 1, adding up to the tokens of each row; and row_offsets
        int64 (num_texts + 1,).
    """
    ends: list[int] = []
    rows: list[int] = []
    first_characters = np.cumsum([0] + [len(text) for text in texts], dtype=np.int64)
    for row, text in enumerate(texts):
        end = int(first_characters[row])
        for sentence in split_sentences(text):
            end += len(sentence)
            ends.append(end)
            rows.append(row)
    places = np.repeat(first_characters[:-1], np.diff(tokenized.row_offsets)) + tokenized.char_starts
    lengths = np.diff(np.searchsorted(places, np.array(ends, np.int64)), prepend=0)
    filled = lengths > 0
    row_offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.bincount(np.array(rows, np.int64)[filled], minlength=len(texts)), out=row_offsets[1:])
    return lengths[filled].astype(np.int32), row_offsets


def _tokens_of(
    documents: pa.Table,
    tokenizer: WordPieceTokenizer,
    matcher: EntityMatcher,
    segmenter: str,
    counts: Counter[str],
    in_unknown: Counter[str],
) -> pa.Table:
    """Return the tokens rows of a chunk of documents, and add to the counts."""
    texts = documents.column("text").to_pylist()
    tokenized = tokenizer.encode(documents.column("text"))
    lengths, sentence_offsets = sentence_lengths(texts, tokenized)
    starts = word_starts(texts, tokenized, segmenter)
    entity_starts, entity_lengths, entity_lexicons, entity_offsets = matcher.match(texts, tokenized)
    filled = np.diff(tokenized.row_offsets) > 0

    is_unknown = np.flatnonzero(tokenized.ids == tokenizer.unk_id)
    rows = np.searchsorted(tokenized.row_offsets, is_unknown, side="right") - 1
    spans = zip(rows, tokenized.char_starts[is_unknown], tokenized.char_ends[is_unknown], strict=True)
    for row, start, end in spans:
        in_unknown.update(texts[row][start:end])
    counts.update(
        read=len(texts),
        documents=int(filled.sum()),
        characters=sum(map(len, texts)),
        sentences=len(lengths),
        tokens=len(tokenized.ids),
        words=int(starts.sum()),
        entities=len(entity_starts),
        unknown_tokens=len(is_unknown),
    )
    ids_type = token_type(tokenizer.vocabulary_size)
    table = pa.table(
        {
            "doc_id": documents.column("doc_id"),
            "input_ids": list_array(tokenized.ids, tokenized.row_offsets, ids_type),
            "sentence_lengths": list_array(lengths, sentence_offsets, pa.int32()),
            "word_starts": list_array(starts, tokenized.row_offsets, pa.bool_()),
            "entity_starts": list_array(entity_starts, entity_offsets, pa.int32()),
            "entity_lengths": list_array(entity_lengths, entity_offsets, pa.int32()),
            "entity_lexicons": list_array(entity_lexicons, entity_offsets, pa.int8()),
        }
    )
    return table if filled.all() else table.filter(pa.array(filled))


def _most_frequent_unknown(in_unknown: Counter[str], tokenizer: WordPieceTokenizer) -> list[list[Any]]:
    """Return the characters that are unknown by themselves with their counts; ties go to the lower code point."""
    characters = sorted(in_unknown, key=lambda character: (-in_unknown[character], character))
    alone = tokenizer.encode(characters)
    unknown_rows = np.searchsorted(alone.row_offsets, np.flatnonzero(alone.ids == tokenizer.unk_id), side="right") - 1
    found = [characters[row] for row in dict.fromkeys(unknown_rows.tolist())]
    return [[character, in_unknown[character]] for character in found[:NUM_UNKNOWN_CHARACTERS]]


def _chunks(shards: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """Cut documents into runs of at most CHUNK_BYTES of text, at least one document each."""
    for shard in shards:
        for batch in shard.select(["doc_id", "text"]).to_batches():
            num_bytes = pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False)  # type: ignore
            ends = np.cumsum(num_bytes, dtype=np.int64)
            first = 0
            while first < batch.num_rows:
                done = int(ends[first - 1]) if first else 0
                stop = max(int(np.searchsorted(ends, done + CHUNK_BYTES, side="right")), first + 1)
                yield pa.Table.from_batches([batch.slice(first, stop - first)])
                first = stop
