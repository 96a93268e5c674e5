"""The span-boundary objective: each token of a masked span predicted from the two tokens around the span.

For a span of tokens s .. e and its token i, with h the encoder's vectors and p learned vectors of places in a span:

    a = LayerNorm(GELU(W1 [h(s-1); h(e+1); p(i-s)]))      y = LayerNorm(GELU(W2 a))      logits = E y + b

E is the matrix of the token embeddings. A span here is a run of neighbouring predicted tokens of any masking policy, so
that the two tokens around it are always seen; of a run longer than 20 tokens the first 20 are predicted.

Source: Joshi et al. 2020 (arXiv:1907.10529), section 3.2; places of 200 numbers as in their released code.
"""
# ruff: noqa: N803, N806, N815 -- capitals at the end of a name are axes: M predicted tokens, D hidden size, V entries

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_SPAN_TOKENS = 20
"""Places in a span that have a vector, tokens."""
PLACE_SIZE = 200
"""Numbers of a place's vector."""


@dataclass(frozen=True, slots=True)
class SpanTargets:
    """What the objective predicts in a batch; places count row * S + column."""

    left_positions_M: Tensor
    """Place of the token before the span, int64."""
    right_positions_M: Tensor
    """Place of the token behind the span, int64."""
    offsets_M: Tensor
    """Place of the predicted token in its span, 0 to MAX_SPAN_TOKENS - 1, int64."""
    target_ids_M: Tensor
    """Original tokens, int64."""


class SpanBoundaryHead(nn.Module):
    """From the vectors at a span's borders to logits for a token inside it."""

    def __init__(self, vocab_size: int, hidden_size: int, layer_norm_eps: float) -> None:
        super().__init__()
        self.place_embeddings = nn.Embedding(MAX_SPAN_TOKENS, PLACE_SIZE)
        self.first = nn.Linear(2 * hidden_size + PLACE_SIZE, hidden_size)
        self.first_LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.second = nn.Linear(hidden_size, hidden_size)
        self.second_LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden_TD: Tensor, spans: SpanTargets, embeddings_VD: Tensor) -> Tensor:
        """Return logits (M, V).

        Args:
            hidden_TD: the encoder's vectors of all rows one after the other.
            spans: what is predicted.
            embeddings_VD: the token embeddings.
        """
        left_MD = hidden_TD.index_select(0, spans.left_positions_M)
        right_MD = hidden_TD.index_select(0, spans.right_positions_M)
        places = self.place_embeddings(spans.offsets_M).to(hidden_TD.dtype)
        inner_MD = self.first_LayerNorm(F.gelu(self.first(torch.cat((left_MD, right_MD, places), dim=-1))))
        inner_MD = self.second_LayerNorm(F.gelu(self.second(inner_MD)))
        return F.linear(inner_MD, embeddings_VD, self.bias)
