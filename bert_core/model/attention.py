"""Attention of several heads on CPU with its own backward pass.

The matrix products are torch's; between them one compiled pass (`attention_kernel.py`) does scale, mask, softmax and
dropout. Kept for the backward pass are queries, keys, values and the softmax; what dropout did is drawn again.

Letters at the end of a name are the axes of a tensor: B examples, S positions, H heads, K size of one head; N is B * H.

Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bert_core.model.dropout import drop
from bert_core.model.kernels import as_numbers, in_threads

_PART_SCORES = 65536
"""A thread takes at least so many scores."""
_NO_BIAS = np.empty((0, 1, 1), np.float32)


def attention(qkv_BS3HK: Tensor, bias: Tensor | None, key: np.uint64, threshold: int) -> Tensor:
    """Return dropout(softmax(q k' / sqrt(K) + bias)) v of every head, the heads side by side, (B, S, H * K).

    Args:
        qkv_BS3HK: queries, keys and values on CPU, float32 or bfloat16.
        bias: (B, 1, 1, S) or (B, 1, S, S), float32; None for none.
        key: of the dropout.
        threshold: dropped share in 65536ths; 0 for none.
    """
    mixed = _Attention.apply(qkv_BS3HK, bias, key, threshold)
    assert isinstance(mixed, Tensor)
    return mixed


class _Attention(torch.autograd.Function):
    """The bias is a mask and gets no gradient."""

    @staticmethod
    def forward(ctx: Any, qkv_BS3HK: Tensor, bias: Tensor | None, key: np.uint64, threshold: int) -> Tensor:
        """Return the mixed values."""
        num_examples, width, _, num_heads, head_size = qkv_BS3HK.shape
        qkv_3NSK = qkv_BS3HK.permute(2, 0, 3, 1, 4).reshape(3, num_examples * num_heads, width, head_size)
        q_NSK, k_NSK, v_NSK = qkv_3NSK.unbind()
        weights_NSS = torch.bmm(q_NSK, k_NSK.transpose(1, 2))
        ctx.key, ctx.threshold, ctx.scale = key, threshold, 1.0 / math.sqrt(head_size)
        dropped_NSS = _softmax(weights_NSS, bias, ctx.scale, num_heads * width, key, threshold)
        mixed_NSK = torch.bmm(dropped_NSS, v_NSK)
        ctx.save_for_backward(qkv_3NSK, weights_NSS)
        return _side_by_side(mixed_NSK, num_examples)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of queries, keys and values."""
        qkv_3NSK, weights_NSS = ctx.saved_tensors
        q_NSK, k_NSK, v_NSK = qkv_3NSK.unbind()
        num_rows, width, head_size = q_NSK.shape
        num_examples = gradients[0].shape[0]
        num_heads = num_rows // num_examples
        mixed_BSHK = gradients[0].view(num_examples, width, num_heads, head_size)
        mixed_NSK = mixed_BSHK.transpose(1, 2).reshape(num_rows, width, head_size)
        scores_NSS = torch.bmm(mixed_NSK, v_NSK.transpose(1, 2))
        dropped_NSS = drop(weights_NSS, ctx.key, ctx.threshold) if ctx.threshold else weights_NSS
        out = torch.empty(num_examples, width, 3, num_heads, head_size, dtype=qkv_3NSK.dtype)
        to_q, to_k, to_v = out.permute(2, 0, 3, 1, 4).unbind()
        to_v.copy_(torch.bmm(dropped_NSS.transpose(1, 2), mixed_NSK).view(to_v.shape))
        _softmax_backward(weights_NSS, scores_NSS, ctx.scale, ctx.key, ctx.threshold)
        to_q.copy_(torch.bmm(scores_NSS, k_NSK).view(to_q.shape))
        to_k.copy_(torch.bmm(scores_NSS.transpose(1, 2), q_NSK).view(to_k.shape))
        return out, None, None, None


def _softmax(
    scores_NSS: Tensor, bias: Tensor | None, scale: float, rows_per_bias: int, key: np.uint64, threshold: int
) -> Tensor:
    """Turn scores into weights in place; return them after dropout."""
    from bert_core.model.attention_kernel import softmax_bfloat16, softmax_float32

    kernel = softmax_float32 if scores_NSS.dtype == torch.float32 else softmax_bfloat16
    width = scores_NSS.shape[2]
    scores, added = as_numbers(scores_NSS.view(-1, width)), _NO_BIAS
    if bias is not None:
        added = bias.float()[:, 0].contiguous().numpy()
    dropped_NSS = torch.empty_like(scores_NSS) if threshold else scores_NSS
    dropped = as_numbers(dropped_NSS.view(-1, width))

    def work(start: int, stop: int) -> None:
        kernel(scores[start:stop], start, scale, added, rows_per_bias, key, threshold, dropped[start:stop])

    in_threads(work, len(scores), smallest=-(-_PART_SCORES // width), multiple=4)
    return dropped_NSS


def _softmax_backward(weights_NSS: Tensor, gradient_NSS: Tensor, scale: float, key: np.uint64, threshold: int) -> None:
    """Turn the gradient of the dropped weights into that of the scores, in place."""
    from bert_core.model.attention_kernel import softmax_backward_bfloat16, softmax_backward_float32

    kernel = softmax_backward_float32 if weights_NSS.dtype == torch.float32 else softmax_backward_bfloat16
    width = weights_NSS.shape[2]
    weights, gradient = as_numbers(weights_NSS.view(-1, width)), as_numbers(gradient_NSS.view(-1, width))

    def work(start: int, stop: int) -> None:
        kernel(weights[start:stop], gradient[start:stop], start, scale, key, threshold)

    in_threads(work, len(weights), smallest=-(-_PART_SCORES // width), multiple=4)


def _side_by_side(mixed_NSK: Tensor, num_examples: int) -> Tensor:
    num_rows, width, head_size = mixed_NSK.shape
    mixed_BHSK = mixed_NSK.view(num_examples, num_rows // num_examples, width, head_size)
    return mixed_BHSK.transpose(1, 2).reshape(num_examples, width, -1)
