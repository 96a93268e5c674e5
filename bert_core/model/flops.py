"""How much arithmetic a training step needs: the numerator of model FLOPs utilisation (MFU).

Counted are the multiplications and additions of the matrix products that the model needs for its tokens: padding,
attention to another example's tokens, element-wise work and recomputation are not, so that doing less of those shows.
The backward pass costs twice the forward pass.

Source: Chowdhery et al. 2022 (arXiv:2204.02311), appendix B, for MFU.
"""

import numpy as np

from bert_core.model.encoder import BertConfig
from bert_core.model.span_boundary import PLACE_SIZE


def training_flops(config: BertConfig, lengths: np.ndarray, num_mlm: int, num_boundary: int = 0) -> float:
    """Return the FLOPs of a step.

    Example: one example of one token, hidden size 1, one layer, intermediate size 1, and no prediction need 3 times
    (2 * 4 for q, k, v and the output, 2 * 2 for attention, 2 * 2 for the feed-forward part, 2 for the pooler) = 54.

    Args:
        config: sizes of the model.
        lengths: tokens of each example.
        num_mlm: tokens predicted by the MLM head.
        num_boundary: tokens predicted by the span-boundary head.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    num_tokens, num_pairs_of_tokens = float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
    layer = num_tokens * (8.0 * hidden**2 + 4.0 * hidden * inner) + num_pairs_of_tokens * 4.0 * hidden
    vocabulary = 2.0 * hidden * config.vocab_size
    mlm = num_mlm * (2.0 * hidden**2 + vocabulary)
    boundary = num_boundary * (2.0 * hidden * (2 * hidden + PLACE_SIZE) + 2.0 * hidden**2 + vocabulary)
    pooler = len(lengths) * 2.0 * hidden**2
    return 3.0 * (config.num_hidden_layers * layer + mlm + boundary + pooler)
