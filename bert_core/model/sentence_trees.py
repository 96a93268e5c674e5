"""Sentence trees in an encoder: soft positions, and which token sees which.

Letters at the end of a name are the axes of a tensor: B examples, S positions.

Source: Liu et al. 2020, K-BERT (arXiv:1909.07606), sections 3.3 and 3.4. Their mask-self-attention is attention with a
bias where one token does not see another.
"""
# ruff: noqa: N803, N815 -- capitals at the end of a name are axes

from dataclasses import dataclass

from torch import Tensor

from bert_core.model.encoder import BertEncoder


@dataclass(frozen=True, slots=True)
class SentenceTrees:
    """What a batch of trees has beside its tokens."""

    position_ids_BS: Tensor
    """Soft positions, int64."""
    visible_BSS: Tensor
    """Which token sees which, bool."""


def encode(
    encoder: BertEncoder,
    input_ids_BS: Tensor,
    token_type_ids_BS: Tensor,
    lengths_B: Tensor | None,
    tree: SentenceTrees | None,
) -> tuple[Tensor, Tensor]:
    """Encode a batch of texts or of sentence trees; the tensors and what comes back are those of `BertEncoder.forward`.

    Without trees this is the encoder alone, and nothing else is computed.
    """
    if tree is None:
        return encoder(input_ids_BS, token_type_ids_BS, lengths_B)
    return encoder(input_ids_BS, token_type_ids_BS, position_ids_BS=tree.position_ids_BS, visible_BSS=tree.visible_BSS)
