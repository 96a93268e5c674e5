"""New entries for a vocabulary: frequent words of a domain that it cuts into pieces or does not know.

Words are what BERT cuts text into before WordPiece: runs of letters and digits, and single Han characters or marks.
A word of several Han characters is no such word: BERT reads it character by character whatever the vocabulary holds.

Source: Yao et al. 2021 (arXiv:2106.13474), section 3.1, for adding frequent domain words to a BERT's vocabulary.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bert_core.config.text import GrowthConfig
from bert_core.tokens.characters import DROP, ISOLATED, SPACE, code_points_of, load_characters, text_of
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.vocabulary_files import MAX_WORD_CHARACTERS, UNK, library_tokenizer


def new_entries(
    texts: Iterator[pa.Array],
    entries: Sequence[str],
    lowercase: bool,
    growth: GrowthConfig,
    strip_accents: bool | None = None,
) -> list[str]:
    """Find the words to append, the most frequent first, equal ones in the order of their characters.

    Example: with the entries `lap ##top` and a text that says `laptop` 30 times, `["laptop"]`.

    Args:
        texts: string arrays.
        entries: of the vocabulary as it is.
        lowercase: whether letters are folded.
        growth: how many at most, and how frequent at least.
        strip_accents: whether accents are stripped; None to do as `lowercase` says.
    """
    tokenizer = WordPieceTokenizer(entries, lowercase, strip_accents)
    counts = _count_words(texts, lowercase, strip_accents)
    words, occurrences = np.array(list(counts), object), np.array(list(counts.values()), np.int64)
    encoded = tokenizer.encode(words.tolist())
    num_pieces = np.diff(encoded.row_offsets)
    has_unknown = np.add.reduceat(np.append(encoded.ids == tokenizer.unk_id, 0), encoded.row_offsets[:-1]) > 0
    is_cut = (num_pieces > 1) | ((num_pieces > 0) & has_unknown)
    normalised: dict[str, int] = {}
    normalise = library_tokenizer([UNK], lowercase, strip_accents).normalizer.normalize_str
    for word, count in zip(words[is_cut].tolist(), occurrences[is_cut].tolist(), strict=True):
        form = normalise(word).strip()
        normalised[form] = normalised.get(form, 0) + count
    known = set(entries)
    ranked = sorted(
        (-count, form)
        for form, count in normalised.items()
        if count >= growth.min_count and form not in known and 0 < len(form) <= MAX_WORD_CHARACTERS
    )
    found = [form for _, form in ranked]
    grown = WordPieceTokenizer([*entries, *found], lowercase, strip_accents)
    emitted = set(grown.replacement_pool().tolist())
    return [form for index, form in enumerate(found, start=len(entries)) if index in emitted][: growth.max_entries]


def _count_words(texts: Iterator[pa.Array], lowercase: bool, strip_accents: bool | None) -> dict[str, int]:
    """Count the words of all texts as they are written, in the order of their characters."""
    kinds_of = load_characters(lowercase, strip_accents).kinds
    counts: dict[str, int] = {}
    for batch in texts:
        code_points = code_points_of("\n".join(batch.to_pylist()))
        kinds = kinds_of[code_points]
        kept, kinds = code_points[kinds != DROP], kinds[kinds != DROP]
        is_alone, is_space = kinds == ISOLATED, kinds == SPACE
        spaced = np.full(3 * len(kept), ord(" "), kept.dtype)  # a character by itself gets a space on either side
        spaced[1::3] = np.where(is_space, ord(" "), kept)
        is_kept = np.zeros(len(spaced), bool)
        is_kept[1::3], is_kept[0::3], is_kept[2::3] = True, is_alone, is_alone
        split = pc.call_function("utf8_split_whitespace", [pa.array([text_of(spaced[is_kept])], pa.large_string())])
        found = split.flatten().value_counts()
        for word, count in zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True):
            counts[word] = counts.get(word, 0) + count
    return dict(sorted(counts.items()))
