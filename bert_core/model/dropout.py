"""Dropout whose draws are a function of one seed for each training step.

`seed_dropout` gives every `Dropout` of a model a key of its own, so nothing but the step number is needed to repeat a
step exactly: a resumed run equals an undisturbed one. On CPU the draws come from `dropout_kernel.py`; elsewhere from
torch's generator, which is seeded as well.

Source: Srivastava et al. 2014; the scaling of kept values ("inverted dropout") as in torch.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.randomness import GAMMA, draws

PART_VALUES = 65536
"""A thread takes at least so many values; to hand out fewer costs more than it saves."""


class Dropout(nn.Module):
    """Zero a share of the values while training and scale the rest, so that the mean stays.

    On CPU the share is `probability` rounded to 1/65536, and the scale is that of the rounded share.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.key = GAMMA

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape and dtype."""
        if not self.training or self.probability == 0.0:
            return values
        if values.device.type == "cpu" and values.dtype in (torch.float32, torch.bfloat16):
            dropped = _HashDropout.apply(values, self.key, min(65535, round(self.probability * 65536)))
            assert isinstance(dropped, Tensor)
            return dropped
        return F.dropout(values, self.probability, training=True)


def seed_dropout(model: nn.Module, seed: int) -> None:
    """Make the dropout of the next forward pass a function of `seed` (0 to 2**63 - 1)."""
    torch.manual_seed(seed)
    parts = [part for part in model.modules() if isinstance(part, Dropout)]
    for part, key in zip(parts, draws(np.uint64(seed), len(parts)), strict=True):
        part.key = key


class _HashDropout(torch.autograd.Function):
    """Dropout by a hash of (key, place); the backward pass draws the same again."""

    @staticmethod
    def forward(ctx, values: Tensor, key: np.uint64, threshold: int) -> Tensor:
        """Return the values, dropped or scaled."""
        ctx.key, ctx.threshold = key, threshold
        return _drop(values, key, threshold)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient, dropped or scaled alike."""
        return _drop(gradients[0], ctx.key, ctx.threshold), None, None


def _drop(values: Tensor, key: np.uint64, threshold: int) -> Tensor:
    """Drop in a new tensor; places count the elements in row-major order, so that threads change no draw."""
    from bert_core.model.dropout_kernel import BLOCK, drop_bfloat16, drop_float32

    values = values.detach().contiguous()
    out = torch.empty_like(values)
    is_wide = values.dtype == torch.float32
    kernel, source, target = (
        (drop_float32, values.view(-1).numpy(), out.view(-1).numpy())
        if is_wide
        else (drop_bfloat16, _bits(values), _bits(out))
    )
    num_parts = min(torch.get_num_threads(), max(1, len(source) // PART_VALUES))
    part = -(-len(source) // (num_parts * BLOCK)) * BLOCK
    others = [
        _threads().submit(kernel, source[start : start + part], key, threshold, start, target[start : start + part])
        for start in range(part, len(source), part)
    ]
    kernel(source[:part], key, threshold, 0, target[:part])
    for other in others:
        other.result()
    return out


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Threads beside the one that asks; they work outside the interpreter lock."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="dropout")


def _bits(values: Tensor) -> np.ndarray:
    """Return bfloat16 values as flat uint16."""
    return values.view(-1).view(torch.int16).numpy().view(np.uint16)
