"""BERT with its pretraining heads: masked language modelling, next-sentence or sentence-order prediction, span borders.

The vocabulary projection, the dearest part of a small model, is computed at the predicted positions only (15 % of the
tokens). Its matrix is that of the token embeddings. Losses are those of transformers' `BertForPreTraining`; the
span-boundary loss (`span_boundary.py`) comes on top where the model has that head.

A batch may be part of a step. Its losses are then sums over the step's counts, so that the losses and gradients of the
parts add up to those of the step in one piece.

Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.1.
"""
# ruff: noqa: N803, N806, N815 -- capitals at the end of a name are axes

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.model.cross_entropy import IGNORED_LABEL, cross_entropy
from bert_core.model.encoder import BertConfig, BertEncoder
from bert_core.model.span_boundary import SpanBoundaryHead, SpanTargets


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the examples lie in rows that hold several."""

    position_ids_BS: Tensor
    """Positions, which begin at 0 in each example, int64."""
    examples_BS: Tensor
    """Number of the example that a token belongs to, -1 at padding, int64."""
    first_places_E: Tensor
    """Place of each example's [CLS] as row * S + column, int64."""


@dataclass(frozen=True, slots=True)
class TargetCounts:
    """What the losses are averaged over."""

    mlm: int
    """Predicted tokens."""
    pairs: int
    """Examples that are pairs."""
    boundary: int = 0
    """Tokens predicted from the borders of their span."""


@dataclass(frozen=True, slots=True)
class PretrainingBatch:
    """Masked rows of tokens, padded on the right."""

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
    """Of each example: 0 = B follows A, 1 = B is random, or A and B are swapped, -100 = no pair; int64."""
    packing: Packing | None = None
    """None where each row is one example."""
    spans: SpanTargets | None = None
    """What the span-boundary objective predicts; None without it."""

    def to(self, device: torch.device) -> "PretrainingBatch":
        """Return the batch on `device`."""
        return _moved(self, device)

    def counts(self) -> TargetCounts:
        """Return what the losses of this batch alone are averaged over."""
        return TargetCounts(
            mlm=self.target_ids_N.numel(),
            pairs=int((self.next_sentence_labels_B != IGNORED_LABEL).sum()),
            boundary=self.spans.target_ids_M.numel() if self.spans is not None else 0,
        )


def _moved(value: Any, device: torch.device) -> Any:
    """Return a tensor, or a dataclass of tensors, on `device`."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(*(_moved(getattr(value, part.name), device) for part in fields(value)))
    return value


@dataclass(frozen=True, slots=True)
class PretrainingOutput:
    """Losses and counts of one batch; 0-dimensional tensors, differentiable in `loss` alone."""

    loss: Tensor
    """Sum of the losses below."""
    mlm_loss: Tensor
    """Mean cross-entropy over the predicted tokens, nats."""
    nsp_loss: Tensor
    """Mean cross-entropy over the pairs, nats; 0 where the batch has none."""
    boundary_loss: Tensor
    """Mean cross-entropy over tokens predicted from the borders of their span, nats; 0 without that objective."""
    mlm_correct: Tensor
    num_mlm: int
    nsp_correct: Tensor
    num_nsp: int
    boundary_correct: Tensor
    num_boundary: int


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
    """The heads of MLM and NSP, under transformers' names."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertPredictions(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


class BertForPretraining(nn.Module):
    """Encoder, MLM head at the predicted positions, NSP head on the pooled vector; a span-boundary head by choice."""

    def __init__(self, config: BertConfig, *, with_span_boundary: bool = False) -> None:
        super().__init__()
        self.config = config
        self.bert = BertEncoder(config)
        self.cls = BertPretrainingHeads(config)
        self.span_boundary = (
            SpanBoundaryHead(config.vocab_size, config.hidden_size, config.layer_norm_eps)
            if with_span_boundary
            else None
        )

    def logits(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Return MLM logits (N, V) and NSP logits, one pair for each example."""
        mlm_logits_NV, nsp_logits_B2, _ = self.all_logits(batch)
        return mlm_logits_NV, nsp_logits_B2

    def all_logits(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the logits of MLM (N, V), of NSP (B, 2) and, where it has that head, of span borders (M, V)."""
        packing = batch.packing
        hidden_BSD, pooled_BD = self.bert(
            batch.input_ids_BS,
            batch.token_type_ids_BS,
            batch.lengths_B,
            *(() if packing is None else (packing.position_ids_BS, packing.examples_BS, packing.first_places_E)),
        )
        hidden_TD = hidden_BSD.flatten(0, 1)
        embeddings_VD = self.bert.embeddings.word_embeddings.weight
        mlm_logits_NV = self.cls.predictions(hidden_TD.index_select(0, batch.target_positions_N), embeddings_VD)
        boundary_logits_MV = None
        if self.span_boundary is not None and batch.spans is not None:
            boundary_logits_MV = self.span_boundary(hidden_TD, batch.spans, embeddings_VD)
        return mlm_logits_NV, self.cls.seq_relationship(pooled_BD), boundary_logits_MV

    def forward(self, batch: PretrainingBatch, step: TargetCounts | None = None) -> PretrainingOutput:
        """Return losses and counts of `batch`.

        Args:
            batch: what is predicted.
            step: counts of the whole step that the batch is a part of; None where it is all of it.
        """
        own = batch.counts()
        step = step or own
        mlm_logits_NV, nsp_logits_B2, boundary_logits_MV = self.all_logits(batch)
        mlm_loss, mlm_correct = cross_entropy(mlm_logits_NV, batch.target_ids_N, step.mlm)
        nsp_loss, nsp_correct = cross_entropy(nsp_logits_B2, batch.next_sentence_labels_B, step.pairs)
        loss, boundary_loss, boundary_correct = mlm_loss + nsp_loss, torch.zeros_like(mlm_loss), torch.zeros(())
        if boundary_logits_MV is not None and batch.spans is not None:
            boundary_loss, boundary_correct = cross_entropy(boundary_logits_MV, batch.spans.target_ids_M, step.boundary)
            loss = loss + boundary_loss
        return PretrainingOutput(
            loss,
            mlm_loss.detach(),
            nsp_loss.detach(),
            boundary_loss.detach(),
            mlm_correct,
            own.mlm,
            nsp_correct,
            own.pairs,
            boundary_correct,
            own.boundary,
        )
