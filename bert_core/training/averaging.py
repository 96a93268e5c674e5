"""A moving average of the weights, which is evaluated and handed on in place of the last ones.

After step t (from 0) each weight's average moves by a share 1 - d towards the weight, with

    d = min(decay, (1 + t) / (10 + t))

so that the first steps, which start far away, are soon forgotten. The average takes part in no step.

Example: decay 0.9 and weights 0 at the start, then 1, 1: after step 0 d is 0.1 and the average 0.9, after step 1 d is
0.18 and the average 0.98.

Source: Polyak and Juditsky 1992 for averaging; the growing decay as in TensorFlow's ExponentialMovingAverage.
"""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

_PREFIX = "average|"


class AveragedWeights:
    """The average of a model's weights, or nothing where no decay is given."""

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self._decay = decay
        self._names = [name for name, _ in model.named_parameters()]
        self._weights = [parameter.data for parameter in model.parameters()]
        self._averages = [weight.clone() for weight in self._weights] if decay is not None else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after `step`, from 0."""
        if self._decay is not None:
            decay = min(self._decay, (1 + step) / (10 + step))
            for average, weight in zip(self._averages, self._weights, strict=True):
                average.lerp_(weight, 1.0 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the average inside and its own weights, bit for bit, after."""
        own = [weight.clone() for weight in self._weights] if self._averages else []
        self._copy(self._averages)
        try:
            yield
        finally:
            self._copy(own)

    def tensors(self) -> dict[str, Tensor]:
        """Return the average by name, for a checkpoint."""
        return {f"{_PREFIX}{name}": each for name, each in zip(self._names, self._averages, strict=False)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` returned; where there is nothing, begin at the weights as they are."""
        for name, average, weight in zip(self._names, self._averages, self._weights, strict=False):
            average.copy_(tensors.get(f"{_PREFIX}{name}", weight))

    def _copy(self, values: list[Tensor]) -> None:
        for weight, value in zip(self._weights, values, strict=False):
            weight.copy_(value)
