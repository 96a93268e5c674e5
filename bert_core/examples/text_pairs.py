"""Two texts to one input, `[CLS] A [SEP] B [SEP]`, the longer one shortened where both together are too long.

One builder for training and prediction. Labels and files are the matter of `labelled.py`.

Source: Devlin et al. 2019, released code: tokens are taken from the end of the longer text, of B where both are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bert_core.examples.windows import ranges
from bert_core.tokens.tokenizer import TokenizedTexts, WordPieceTokenizer

NUM_SPECIAL_TOKENS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PairInputs:
    """Inputs of pairs, one after the other."""

    ids: np.ndarray
    """Token ids with special ones, int32 shape (num_tokens,)."""
    offsets: np.ndarray
    """Pair i is `ids[offsets[i]:offsets[i + 1]]`, int64 shape (num_pairs + 1,)."""
    length_a: np.ndarray
    """Tokens of A, int64 shape (num_pairs,)."""
    char_starts: np.ndarray
    """First character of each token in its own text, -1 at special tokens, int32 shape (num_tokens,)."""
    char_ends: np.ndarray
    """One past its last character, int32 shape (num_tokens,)."""
    num_cut: int
    """Pairs that were shortened."""
    num_tokens: int
    """Tokens of the whole texts."""
    num_unknown: int
    """Those of them that are [UNK]."""


def shortened(lengths_a: np.ndarray, lengths_b: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many tokens each text of a pair keeps.

    Example: room for 8: lengths 2 and 9 -> 2 and 6; 9 and 2 -> 6 and 2; 9 and 9 -> 4 and 4.

    Args:
        lengths_a: tokens of the first texts.
        lengths_b: tokens of the second texts.
        room: tokens of both together.
    """
    kept_b = np.minimum(lengths_b, np.maximum(room // 2, room - lengths_a))
    return np.minimum(lengths_a, room - kept_b), kept_b


def pair_inputs(
    tokenizer: WordPieceTokenizer, texts: Sequence[str], texts_pair: Sequence[str], max_tokens: int
) -> PairInputs:
    """Make the inputs of pairs of texts.

    Args:
        tokenizer: of the model.
        texts: first texts.
        texts_pair: second texts, as many.
        max_tokens: longest input with its special tokens, tokens.
    """
    first, second = tokenizer.encode(list(texts)), tokenizer.encode(list(texts_pair))
    lengths_a, lengths_b = np.diff(first.row_offsets), np.diff(second.row_offsets)
    kept_a, kept_b = shortened(lengths_a, lengths_b, max_tokens - NUM_SPECIAL_TOKENS)
    offsets = np.concatenate([[0], np.cumsum(kept_a + kept_b + NUM_SPECIAL_TOKENS)]).astype(np.int64)
    ids = np.full(offsets[-1], tokenizer.sep_id, np.int32)
    ids[offsets[:-1]] = tokenizer.cls_id
    char_starts, char_ends = np.full((2, len(ids)), -1, np.int32)
    parts: list[tuple[TokenizedTexts, np.ndarray, np.ndarray]] = [
        (first, offsets[:-1] + 1, kept_a),
        (second, offsets[:-1] + 2 + kept_a, kept_b),
    ]
    for tokens, places, sizes in parts:
        inside, source = ranges(places, sizes), ranges(tokens.row_offsets[:-1], sizes)
        ids[inside] = tokens.ids[source]
        char_starts[inside], char_ends[inside] = tokens.char_starts[source], tokens.char_ends[source]
    return PairInputs(
        ids=ids,
        offsets=offsets,
        length_a=kept_a.astype(np.int64),
        char_starts=char_starts,
        char_ends=char_ends,
        num_cut=int(((kept_a < lengths_a) | (kept_b < lengths_b)).sum()),
        num_tokens=len(first.ids) + len(second.ids),
        num_unknown=int((first.ids == tokenizer.unk_id).sum() + (second.ids == tokenizer.unk_id).sum()),
    )
