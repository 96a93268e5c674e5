"""Dropout whose draws are a function of one seed for each training step.

`seed_dropout` gives every `Dropout` of a model a key of its own, so nothing but the step number is needed to repeat a
step exactly: a resumed run equals an undisturbed one. On CPU the draws come from `dropout_kernel.py`; elsewhere from
torch's generator, which is seeded as well.

Source: Srivastava et al. 2014; the scaling of kept values ("inverted dropout") as in torch.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.model.kernels import as_numbers, in_threads
from bert_core.randomness import GAMMA, draws

PART_VALUES = 131072
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
            dropped = _HashDropout.apply(values, self.key, threshold_of(self.probability))
            assert isinstance(dropped, Tensor)
            return dropped
        return F.dropout(values, self.probability, training=True)


def threshold_of(probability: float) -> int:
    """Return a dropped share in 65536ths, at most 65535: `0.1` -> `6554`."""
    return min(65535, round(probability * 65536))


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
        return drop(values, key, threshold)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient, dropped or scaled alike."""
        return drop(gradients[0], ctx.key, ctx.threshold), None, None


def drop(values: Tensor, key: np.uint64, threshold: int) -> Tensor:
    """Drop in a new tensor; places count the elements in row-major order, so that threads change no draw."""
    from bert_core.model.dropout_kernel import BLOCK, drop_bfloat16, drop_float32

    values = values.detach().contiguous()
    out = torch.empty_like(values)
    kernel = drop_float32 if values.dtype == torch.float32 else drop_bfloat16
    source, target = as_numbers(values.view(-1)), as_numbers(out.view(-1))
    in_threads(
        lambda start, stop: kernel(source[start:stop], key, threshold, start, target[start:stop]),
        len(source),
        smallest=PART_VALUES,
        multiple=BLOCK,
    )
    return out
