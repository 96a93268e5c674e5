"""Dropout whose draws are a function of one seed set before each training step.

Nothing but the step number is needed to repeat a step exactly, so a resumed run equals an undisturbed one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def seed_dropout(seed: int) -> None:
    """Make all dropout from here on a function of `seed` (0 to 2**63 - 1)."""
    torch.manual_seed(seed)


class Dropout(nn.Module):
    """Zero a share of the values while training and scale the rest, so that the mean stays."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape and dtype."""
        if not self.training or self.probability == 0.0:
            return values
        return F.dropout(values, self.probability, training=True)
