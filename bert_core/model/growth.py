"""Weights for a vocabulary that has grown: each new entry begins at the mean of the pieces it was cut into before.

The old entries keep their ids, vectors and biases, so that their logits are what they were. The decoder is tied to the
token embeddings and grows with them; its bias begins at the mean of the pieces as well.

Source: Yao et al. 2021 (arXiv:2106.13474), "Adapt-and-Distill", section 3.1, for domain words begun from their pieces.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from bert_core.errors import CheckpointError
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.vocabulary_files import TOKENIZER_NAME, UNK, VOCABULARY_NAME, folding_of, load_vocabulary

_BY_ENTRY = ("embeddings.word_embeddings.weight", "cls.predictions.bias", "span_boundary.bias")
"""Endings of the names of weights that have one row for each entry."""


def pieces_of_new_entries(folder: Path, entries: Sequence[str]) -> list[list[int]]:
    """Return for each entry behind those of a model the ids of its pieces in that model; [] where none is new.

    Example: a model of `[PAD] ... lap ##top` and the entries `[PAD] ... lap ##top laptop` give `[[lap, ##top]]`.
    A folder without a vocabulary has none to compare with.

    Args:
        folder: of the model, with its vocabulary.
        entries: of the grown vocabulary, in order of id.

    Raises:
        CheckpointError: the entries do not begin with those of the model.
    """
    if not any((folder / name).is_file() for name in (VOCABULARY_NAME, TOKENIZER_NAME)):
        return []
    own = load_vocabulary(folder)
    if len(entries) <= len(own):
        return []
    for index, (entry, expected) in enumerate(zip(entries, own, strict=False)):
        if entry != expected:
            raise CheckpointError(
                f"{folder}: its vocabulary has {expected!r} as entry {index}, the one of {len(entries)} entries has "
                f"{entry!r}, expected the same entries with new ones behind; take the vocabulary of that model"
            )
    tokens = WordPieceTokenizer(own, *folding_of(folder)).encode(list(entries[len(own) :]))
    offsets = tokens.row_offsets.tolist()
    pieces = [tokens.ids[start:stop].tolist() for start, stop in pairwise(offsets)]
    unknown = own.index(UNK)
    return [each or [unknown] for each in pieces]


def grow_weights(state: Mapping[str, Tensor], num_own: int, pieces: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Return the weights with a row for each new entry.

    Args:
        state: weights by name.
        num_own: entries of the model's own vocabulary; rows behind them, which pad some models, are written over.
        pieces: ids of the pieces of each new entry, at least one each.
    """
    grown = dict(state)
    for name, weight in state.items():
        if name.endswith(_BY_ENTRY):
            new = torch.stack([weight[list(ids)].mean(dim=0) for ids in pieces])
            grown[name] = torch.cat([weight[:num_own], new, weight[num_own + len(pieces) :]])
    return grown
