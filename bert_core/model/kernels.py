"""How tensors on CPU are handed to compiled kernels, and a kernel to one thread for each of torch's.

The kernels release the interpreter lock. Their items do not depend on each other: how they are cut changes no result.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor


def as_numbers(values: Tensor) -> np.ndarray:
    """Return a contiguous float32 tensor on CPU as it is, a bfloat16 one as uint16; same shape and memory."""
    if values.dtype == torch.bfloat16:
        return values.view(torch.int16).numpy().view(np.uint16)
    return values.numpy()


def in_threads(work: Callable[[int, int], object], num_items: int, *, smallest: int, multiple: int = 1) -> None:
    """Call `work(start, stop)` for ranges that together are `0 .. num_items - 1`, one of them in this thread.

    Example: 100 items, two threads, `smallest=30`, `multiple=8` -> `work(0, 56)` and `work(56, 100)`; with
    `smallest=60` -> `work(0, 100)`.

    Args:
        work: does the items from `start` to before `stop`.
        num_items: at least 0.
        smallest: a thread takes at least so many items; to hand out fewer costs more than it saves.
        multiple: ranges begin at multiples of this.
    """
    num_parts = min(torch.get_num_threads(), max(1, num_items // smallest))
    size = -(-num_items // (num_parts * multiple)) * multiple
    others = [
        _threads().submit(work, start, min(start + size, num_items)) for start in range(size, num_items, max(1, size))
    ]
    work(0, min(size, num_items))
    for other in others:
        other.result()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Threads beside the one that asks."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="kernels")
