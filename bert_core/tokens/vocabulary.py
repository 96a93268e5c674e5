"""A WordPiece vocabulary for a recipe: taken from a file or a model as it is, or trained on documents.

Training spends no entry on what text never gives: Han characters stand alone in BERT, so each gets one entry and no
`##` twin. Characters are chosen by how often they occur; only runs of other letters are handed to the tokenizers
library's WordPiece trainer. Its order of letters follows a hash map, so the letters are given to it in a fixed order:
equal text, equal bytes.

Source: Schuster and Nakajima 2012 (WordPiece); Kudo and Richardson 2018 (arXiv:1808.06226) for character coverage.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.config import VocabularyConfig
from bert_core.errors import RequestError
from bert_core.progress import Progress, silent
from bert_core.store.shards import read_shard, shard_paths
from bert_core.tokens.characters import (
    DROP,
    ISOLATED,
    NUM_CODE_POINTS,
    SEVERAL,
    SPACE,
    WORD,
    CharacterTable,
    code_points_of,
    is_han,
    load_characters,
    text_of,
)
from bert_core.tokens.growth import new_entries
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.vocabulary_files import (
    CONTINUATION,
    SPECIAL_ENTRIES,
    UNK,
    library_tokenizer,
    load_vocabulary,
    write_vocabulary,
)

CHARACTER_COVERAGE = 0.9999
"""Share of the text's characters that get an entry before pieces of words do, 0 to 1."""
MIN_PIECE_COUNT = 2
"""A piece of a word must occur this often to become an entry."""
_READ_ROWS = 1024


def build_vocabulary(
    documents_folders: Sequence[Path],
    config: VocabularyConfig,
    source: Path | None,
    folder: Path,
    progress: Progress = silent,
) -> dict:
    """Write `vocab.txt`, `tokenizer.json` and `tokenizer_config.json` of a recipe's vocabulary.

    Args:
        documents_folders: folders of documents shards to train on and to measure the unknown share on.
        config: size, and how letters are folded.
        source: a vocab.txt or a model folder whose entries are taken in their order, with new ones behind where the
            config asks for growth; None to train.
        folder: where the files go; must exist.
        progress: listener, in documents.

    Returns:
        Counts: size, new_entries (appended to those of the source), han_characters, documents, tokens,
        unknown_tokens, unknown_share (None without documents).

    Raises:
        RequestError: the source is no vocabulary of a BERT, or there is no text to train on.
    """
    num_documents = sum(
        read_shard(path).num_rows for one in documents_folders for path in shard_paths(one, "documents")
    )
    num_new = 0
    if source is not None:
        entries = load_vocabulary(source)
        if config.growth is not None:
            texts = read_texts(documents_folders)
            new = new_entries(texts, entries, config.lowercase, config.growth, config.strip_accents)
            entries, num_new = [*entries, *new], len(new)
    else:
        entries = train_vocabulary(lambda: read_texts(documents_folders), config)
    write_vocabulary(entries, config.lowercase, folder, config.strip_accents)

    tokenizer = WordPieceTokenizer.from_folder(folder)
    done = num_tokens = num_unknown = 0
    for texts in read_texts(documents_folders):
        ids = tokenizer.encode(texts).ids
        num_tokens += len(ids)
        num_unknown += int(np.count_nonzero(ids == tokenizer.unk_id))
        done += len(texts)
        progress(done, num_documents, "documents")
    return {
        "trained": source is None,
        "lowercase": tokenizer.lowercase,
        "strip_accents": tokenizer.strip_accents,
        "size": len(entries),
        "new_entries": num_new,
        "han_characters": int(is_han(np.array([ord(entry) for entry in entries if len(entry) == 1])).sum()),
        "documents": num_documents,
        "tokens": num_tokens,
        "unknown_tokens": num_unknown,
        "unknown_share": round(num_unknown / num_tokens, 6) if num_tokens else None,
    }


def read_texts(documents_folders: Sequence[Path]) -> Iterator[pa.Array]:
    """Yield the texts of documents shards, _READ_ROWS at a time."""
    for folder in documents_folders:
        for path in shard_paths(folder, "documents"):
            for batch in read_shard(path).select(["text"]).to_batches(max_chunksize=_READ_ROWS):
                yield batch.column(0)


def train_vocabulary(read: Callable[[], Iterator[pa.Array]], config: VocabularyConfig) -> list[str]:
    """Train the entries of a vocabulary.

    Args:
        read: called twice; returns the texts as string arrays.
        config: size, and how letters are folded.

    Returns:
        Special entries, single characters, `##` letters, then pieces of words in the order of their merging; at most
        `config.size`, fewer where the text does not give more.

    Raises:
        RequestError: the texts hold no character that could become an entry.
    """
    table = load_characters(config.lowercase, config.strip_accents)
    alone, letters = _count_characters(read(), table)
    if not alone.any() and not letters.any():
        raise RequestError("vocabulary: the corpora to train on hold no text; expected documents: check their paths")
    room = config.size - len(SPECIAL_ENTRIES)
    chosen_alone, chosen_letters = _choose_characters(alone, letters, room, CHARACTER_COVERAGE)
    library = library_tokenizer([UNK], config.lowercase, config.strip_accents)
    pieces = _train_pieces(read(), table, chosen_letters, config.size - len(chosen_alone), library)
    if len(chosen_alone) + 2 * len(chosen_letters) + len(pieces) < room:  # rare characters take what is left
        chosen_alone, chosen_letters = _choose_characters(alone, letters, room - len(pieces), 1.0)
    singles = sorted({chr(code_point) for code_point in [*chosen_alone, *chosen_letters]})
    twins = [CONTINUATION + chr(code_point) for code_point in sorted(chosen_letters)]
    return [*SPECIAL_ENTRIES, *singles, *twins, *pieces]


def _count_characters(texts: Iterator[pa.Array], table: CharacterTable) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each character stands alone (Han, punctuation) and as a letter, int64 (NUM_CODE_POINTS,)."""
    raw = np.zeros(NUM_CODE_POINTS, np.int64)
    for batch in texts:
        found = np.bincount(code_points_of("".join(batch.to_pylist())))
        raw[: len(found)] += found
    alone, letters = np.zeros(NUM_CODE_POINTS, np.int64), np.zeros(NUM_CODE_POINTS, np.int64)
    several = np.flatnonzero(table.kinds == SEVERAL)
    raw_of_item = np.repeat(raw[several], np.diff(table.several_offsets)[table.characters[several]])
    for kind, counts in ((ISOLATED, alone), (WORD, letters)):
        simple = table.kinds == kind
        np.add.at(counts, table.characters[simple], raw[simple])
        inside = table.several_kinds == kind
        np.add.at(counts, table.several_characters[inside], raw_of_item[inside])
    return alone, letters


def _choose_characters(
    alone: np.ndarray, letters: np.ndarray, room: int, coverage: float
) -> tuple[list[int], list[int]]:
    """Choose the most frequent characters that together make up `coverage` of the text and fit into `room` entries.

    A character that stands alone takes one entry, a letter takes two (with its `##` twin). Ties go to the lower code
    point.
    """
    candidates: list[tuple[int, int, int]] = []
    for width, counts in ((1, alone), (2, letters)):
        code_points = np.flatnonzero(counts)
        order = np.lexsort((code_points, -counts[code_points]))
        ranked = code_points[order]
        before = np.cumsum(counts[ranked]) - counts[ranked]
        ranked = ranked[before < coverage * counts.sum()]
        candidates += [(-int(counts[code_point]), int(code_point), width) for code_point in ranked]
    chosen: tuple[list[int], list[int]] = ([], [])
    for _, code_point, width in sorted(candidates):
        if width > room:
            break
        room -= width
        chosen[width - 1].append(code_point)
    return chosen


def _train_pieces(
    texts: Iterator[pa.Array], table: CharacterTable, letters: list[int], size: int, library: Any
) -> list[str]:
    """Return the pieces of several letters that the library's trainer finds, in the order of their merging.

    Args:
        texts: to train on.
        table: of the same folding as `library`.
        letters: code points that words are made of.
        size: entries that the trainer may fill, special entries and letters with their `##` twins included.
        library: a tokenizer of the tokenizers library that knows [UNK] alone; it is trained.
    """
    from tokenizers import trainers

    if not letters:
        return []
    singles = [chr(code_point) for code_point in sorted(letters)]
    fixed = [*SPECIAL_ENTRIES, *(CONTINUATION + letter for letter in singles)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=MIN_PIECE_COUNT,
        show_progress=False,
        special_tokens=fixed,
        initial_alphabet=singles,
        limit_alphabet=len(singles),
        continuing_subword_prefix=CONTINUATION,
    )
    library.train_from_iterator((_words_only(batch, table) for batch in texts), trainer)
    ids = library.get_vocab(with_added_tokens=False)
    known = {*fixed, *singles}
    return sorted((entry for entry in ids if entry not in known), key=lambda entry: ids[entry])


def _words_only(texts: pa.Array, table: CharacterTable) -> str:
    """Return the texts with spaces for every character that is no part of a word."""
    code_points = code_points_of("\n".join(texts.to_pylist()))
    kinds = table.kinds[code_points]
    blank = (kinds == SPACE) | (kinds == ISOLATED)
    keep = kinds != DROP
    keep[1:] &= ~(blank[1:] & blank[:-1])
    return text_of(np.where(blank, ord(" "), code_points)[keep])


__all__ = ["build_vocabulary", "load_vocabulary", "read_texts", "train_vocabulary"]
