"""BERT with its two pretraining heads: masked language modelling and next-sentence prediction.

The vocabulary projection, the dearest part of a small model, is computed at the predicted positions only (15 % of the
tokens). Its matrix is that of the token embeddings. Losses are those of transformers' `BertForPreTraining`.

Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.1.
"""
# ruff: noqa: N803, N806, N815 -- capitals at the end of a name are axes

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.model.encoder import BertConfig, BertEncoder

IGNORED_LABEL = -100
"""Next-sentence label of an example that is no pair."""


@dataclass(frozen=True, slots=True)
class PretrainingBatch:
    """A masked and padded batch."""

    input_ids_BS: Tensor
    """Masked token ids, int64."""
    token_type_ids_BS: Tensor
    """Segments, int64."""
    lengths_B: Tensor
    """Tokens without padding, int64."""
    target_positions_N: Tensor
    """Predicted positions as example * S + position, ascending, int64."""
    target_ids_N: Tensor
    """Original tokens there, int64."""
    next_sentence_labels_B: Tensor
    """0 = B follows A, 1 = B is random, -100 = no pair; int64."""

    def to(self, device: torch.device) -> "PretrainingBatch":
        """Return the batch on `device`."""
        return PretrainingBatch(*(getattr(self, part.name).to(device, non_blocking=True) for part in fields(self)))


@dataclass(frozen=True, slots=True)
class PretrainingOutput:
    """Losses and counts of one batch; 0-dimensional tensors, differentiable in `loss` alone."""

    loss: Tensor
    """mlm_loss + nsp_loss."""
    mlm_loss: Tensor
    """Mean cross-entropy over the predicted tokens, nats."""
    nsp_loss: Tensor
    """Mean cross-entropy over the pairs, nats; 0 where the batch has none."""
    mlm_correct: Tensor
    num_mlm: int
    nsp_correct: Tensor
    num_nsp: Tensor


class BertPredictionTransform(nn.Module):
    """Projection, GELU and layer norm before the vocabulary projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden_ND: Tensor) -> Tensor:
        """Return (N, D)."""
        return self.LayerNorm(F.gelu(self.dense(hidden_ND)))


class BertPredictions(nn.Module):
    """The MLM head; its matrix is handed in because it belongs to the embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = BertPredictionTransform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden_ND: Tensor, embeddings_VD: Tensor) -> Tensor:
        """Return logits (N, V)."""
        return F.linear(self.transform(hidden_ND), embeddings_VD, self.bias)


class BertPretrainingHeads(nn.Module):
    """Both heads, under transformers' names."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertPredictions(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


class BertForPretraining(nn.Module):
    """Encoder, MLM head at the predicted positions, NSP head on the pooled vector."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertEncoder(config)
        self.cls = BertPretrainingHeads(config)

    def logits(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Return MLM logits (N, V) and NSP logits (B, 2)."""
        hidden_BSD, pooled_BD = self.bert(batch.input_ids_BS, batch.token_type_ids_BS, batch.lengths_B)
        hidden_ND = hidden_BSD.flatten(0, 1).index_select(0, batch.target_positions_N)
        embeddings_VD = self.bert.embeddings.word_embeddings.weight
        return self.cls.predictions(hidden_ND, embeddings_VD), self.cls.seq_relationship(pooled_BD)

    def forward(self, batch: PretrainingBatch) -> PretrainingOutput:
        """Return losses and counts of `batch`."""
        mlm_logits_NV, nsp_logits_B2 = (logits.float() for logits in self.logits(batch))
        num_mlm = batch.target_ids_N.numel()
        zero = nsp_logits_B2.sum() * 0.0
        mlm_loss = F.cross_entropy(mlm_logits_NV, batch.target_ids_N) if num_mlm else zero
        is_pair_B = batch.next_sentence_labels_B != IGNORED_LABEL
        num_nsp = is_pair_B.sum()
        nsp_loss = (
            F.cross_entropy(nsp_logits_B2, batch.next_sentence_labels_B, ignore_index=IGNORED_LABEL)
            if int(num_nsp)
            else zero
        )
        with torch.no_grad():
            mlm_correct = (mlm_logits_NV.argmax(-1) == batch.target_ids_N).sum()
            nsp_correct = ((nsp_logits_B2.argmax(-1) == batch.next_sentence_labels_B) & is_pair_B).sum()
        return PretrainingOutput(
            mlm_loss + nsp_loss,
            mlm_loss.detach(),
            nsp_loss.detach(),
            mlm_correct,
            num_mlm,
            nsp_correct,
            num_nsp,
        )
