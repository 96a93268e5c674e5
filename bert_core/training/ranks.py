"""The processes that train one model together (data parallel), and what they tell each other.

Each rank works off its part of every step; gradients, losses and requests to stop are added up, so that all ranks take
the same step and the same decisions. `launch.py` starts the ranks of one machine; `torchrun` may start them as well, on
several machines too. Both say who is who in RANK, LOCAL_RANK and WORLD_SIZE.

What is not here: how a step is cut (`batches.py`), the sum of the gradients (`gradients.py`).
"""

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import distributed

from bert_core.errors import TrainingError
from bert_core.training.stopping import StopFlag

_PATIENCE = datetime.timedelta(minutes=10)
"""How long a rank waits for the others before it fails; saving a checkpoint takes less."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that share the training."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Number of processes."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one rank that writes files and reports."""
        return self.rank == 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Add a tensor up over all ranks, in place; the same bits everywhere."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def agreed_signal(self, stop: StopFlag) -> int | None:
        """Return the signal by which any rank was asked to stop; every rank gets the same answer."""
        if self.size == 1:
            return stop.signal_number
        number = torch.tensor([stop.signal_number or 0])
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return int(number) or None

    def wait_for_all(self) -> None:
        """Wait until every rank is here."""
        if self.size > 1:
            distributed.all_reduce(torch.zeros(1))

    def require_equal(self, what: str, value: float) -> None:
        """Check that every rank has the same number.

        Raises:
            TrainingError: they differ.
        """
        if self.size > 1:
            values = torch.tensor([value, -value], dtype=torch.float64)
            distributed.all_reduce(values, distributed.ReduceOp.MAX)
            highest, lowest = values[0].item(), -values[1].item()
            if highest != lowest:
                raise TrainingError(
                    f"{what} differs between the {self.size} processes, {lowest:g} to {highest:g}, expected one value; "
                    "do they read the same files? run again"
                )


ALONE = Ranks()
"""One process that shares with nobody."""


@contextlib.contextmanager
def joined_ranks(rendezvous: str | None = None) -> Iterator[Ranks]:
    """Join the other ranks where this process was started as one of several, and leave them at the end.

    Tensors on CPU travel by gloo, those on CUDA by NCCL.

    Args:
        rendezvous: address at which the ranks meet, `file:///...`; None for MASTER_ADDR and MASTER_PORT, as torchrun
            sets them.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    rank = int(os.environ["RANK"])
    backend = "cpu:gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
        backend += ",cuda:nccl"
    try:
        distributed.init_process_group(
            backend, init_method=rendezvous or "env://", rank=rank, world_size=size, timeout=_PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"process {rank} of {size} did not find the others ({str(error).splitlines()[0]}); run again"
        ) from error
    try:
        yield Ranks(rank, size)
    finally:
        distributed.destroy_process_group()


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its device."""
    return int(os.environ.get("LOCAL_RANK", "0"))
