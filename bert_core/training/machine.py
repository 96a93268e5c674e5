"""How fast this machine multiplies matrices, in float32 and in bfloat16: measured on CPU, looked up on CUDA.

The measurement takes a moment, once a machine: it is kept in the cache folder by the processor's name and torch's
version, so that later runs choose the same format and their bits agree. It counts the processor time of one thread, so
that a busy machine, on which the same work takes ten times as long, measures the same.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from bert_core.store.kept_tables import kept_tables

CUDA_PEAKS = {"B200": 2250e12, "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
"""Dense bfloat16 peak of a device whose name holds the key, FLOP/s; from the makers' data sheets."""
_SIZE = 1024
_LAYER_TOKENS = 256
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class ProcessorSpeed:
    """What one thread was measured to do; the quickest of several rounds."""

    float32_flops: float
    """Matrix product of 1024 x 1024, FLOP/s."""
    bfloat16_flops: float
    """The same in bfloat16."""
    float32_layer_seconds: float
    """Forward and backward of a feed-forward layer, 256 tokens of 512 numbers."""
    bfloat16_layer_seconds: float
    """The same under autocast to bfloat16."""


@functools.cache
def processor_speed() -> ProcessorSpeed:
    """Return the speed of the processor, measured once a machine."""
    names = (_processor_name(), torch.__version__, "2")
    kept = kept_tables("processor", "|".join(names), lambda: {"speed": np.array(_measure())})
    return ProcessorSpeed(*kept["speed"].tolist())


def cuda_peak(name: str) -> float:
    """Return the bfloat16 peak of a CUDA device by its name, FLOP/s; 0 where it is not known."""
    return next((peak for key, peak in CUDA_PEAKS.items() if key in name), 0.0)


def _measure() -> list[float]:
    """Measure on one thread and leave as many as there were."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure_thread()
    finally:
        torch.set_num_threads(num_threads)


def _measure_thread() -> list[float]:
    a, b = (torch.full((_SIZE, _SIZE), 0.5) for _ in range(2))
    a16, b16 = a.bfloat16(), b.bfloat16()
    tokens = torch.full((_LAYER_TOKENS, 512), 0.5, requires_grad=True)
    up, down = (torch.full(shape, 0.5, requires_grad=True) for shape in ((2048, 512), (512, 2048)))

    def layer() -> None:
        F.linear(F.gelu(F.linear(tokens, up)), down).float().sum().backward()

    def layer_in_bfloat16() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            layer()

    works: tuple[Callable[[], object], ...] = (lambda: a @ b, lambda: a16 @ b16, layer, layer_in_bfloat16)
    seconds = [float("inf")] * len(works)
    for _ in range(_ROUNDS):  # in turns, so that a busy moment does not fall on one of them
        for number, work in enumerate(works):
            began = time.thread_time()
            work()
            seconds[number] = min(seconds[number], time.thread_time() - began)
    product = 2.0 * _SIZE**3
    return [product / seconds[0], product / seconds[1], seconds[2], seconds[3]]


def _processor_name() -> str:
    """Return the model name and the flags of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    wanted = ("model name", "flags", "Features")
    return "|".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))
