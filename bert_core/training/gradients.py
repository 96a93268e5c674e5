"""Gradients added up over all ranks, in buckets that travel while the backward pass still runs.

With one rank nothing is added, and gradients are those that torch makes.

Every bucket is reduced in the same order in every step. torch's DistributedDataParallel lays its buckets out anew after
the first step, so the first step of a resumed run would add in another order than the same step of an undisturbed
one; with three ranks and more the sums then differ in their last bits. It also divides by the number of ranks, while
the loss here is a mean over the whole step already, so that a plain sum is the step's gradient.

Source: Li et al. 2020 (arXiv:2006.15704), section 3.2, for buckets and the overlap with the backward pass.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from bert_core.training.ranks import Ranks

BUCKET_BYTES = 25 << 20
"""Gradients that travel together, as in DistributedDataParallel."""


class SummedGradients:
    """The gradients of a model, the sum over all ranks once `finish` has returned."""

    def __init__(self, model: nn.Module, ranks: Ranks, bucket_bytes: int = BUCKET_BYTES) -> None:
        """Give each parameter a place in a bucket, last ones first, which is about the order they become known in."""
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._buckets: list[Tensor] = []
        self._bucket_of: dict[Tensor, int] = {}
        self._missing: list[int] = []
        self._started: list[Any] = []
        self._is_last_part = False
        if ranks.size > 1:
            for number, group in enumerate(_groups(self._parameters[::-1], bucket_bytes)):
                self._add_bucket(number, group)

    def begin(self) -> None:
        """Forget the gradients of the step before."""
        for bucket in self._buckets:
            bucket.zero_()
        if not self._buckets:
            for parameter in self._parameters:
                parameter.grad = None

    def begin_last_part(self) -> None:
        """Let buckets travel as soon as the next backward pass has filled them."""
        self._is_last_part, self._started = True, []
        self._missing = [0] * len(self._buckets)
        for number in self._bucket_of.values():
            self._missing[number] += 1

    def finish(self) -> None:
        """Wait until every gradient is the sum over all ranks."""
        self._is_last_part = False
        self._missing = [0] * len(self._buckets)  # what got no gradient on this rank travels as it is
        self._start_full()
        for work in self._started:
            work.wait()

    def _add_bucket(self, number: int, parameters: Sequence[Tensor]) -> None:
        bucket = torch.zeros(sum(each.numel() for each in parameters), device=parameters[0].device)
        start = 0
        for parameter in parameters:
            parameter.grad = bucket[start : start + parameter.numel()].view_as(parameter)
            parameter.register_post_accumulate_grad_hook(self._hook)
            self._bucket_of[parameter] = number
            start += parameter.numel()
        self._buckets.append(bucket)

    def _hook(self, parameter: Tensor) -> None:
        if self._is_last_part:
            self._missing[self._bucket_of[parameter]] -= 1
            self._start_full()

    def _start_full(self) -> None:
        """Start full buckets in their order, which must be the same on all ranks."""
        while len(self._started) < len(self._buckets) and self._missing[len(self._started)] == 0:
            self._started.append(distributed.all_reduce(self._buckets[len(self._started)], async_op=True))


def _groups(parameters: Sequence[Tensor], bucket_bytes: int) -> Iterator[list[Tensor]]:
    """Cut the parameters into runs of at most `bucket_bytes`, each of one at least."""
    group: list[Tensor] = []
    size = 0
    for parameter in parameters:
        num_bytes = parameter.numel() * parameter.element_size()
        if group and size + num_bytes > bucket_bytes:
            yield group
            group, size = [], 0
        group.append(parameter)
        size += num_bytes
    if group:
        yield group
