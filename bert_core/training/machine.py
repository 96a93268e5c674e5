"""How fast this machine multiplies matrices, in float32 and in bfloat16: measured on CPU, looked up on CUDA.

The measurement takes about a second, once a machine: it is kept in the cache folder by the processor's name, the
threads and torch's version, so that later runs choose the same format and their bits agree.
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
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class ProcessorSpeed:
    """What was measured; the quickest of several rounds."""

    float32_flops: float
    """Matrix product of 1024 x 1024, FLOP/s."""
    bfloat16_flops: float
    """The same in bfloat16."""
    float32_layer_seconds: float
    """Forward and backward of a feed-forward layer, 1024 tokens of 512 numbers."""
    bfloat16_layer_seconds: float
    """The same under autocast to bfloat16."""


@functools.cache
def processor_speed() -> ProcessorSpeed:
    """Return the speed of the processor, measured once a machine."""
    names = (_processor_name(), str(torch.get_num_threads()), torch.__version__, "1")
    kept = kept_tables("processor", "|".join(names), lambda: {"speed": np.array(_measure())})
    return ProcessorSpeed(*kept["speed"].tolist())


def cuda_peak(name: str) -> float:
    """Return the bfloat16 peak of a CUDA device by its name, FLOP/s; 0 where it is not known."""
    return next((peak for key, peak in CUDA_PEAKS.items() if key in name), 0.0)


def _measure() -> list[float]:
    a, b = torch.rand(_SIZE, _SIZE), torch.rand(_SIZE, _SIZE)
    a16, b16 = a.bfloat16(), b.bfloat16()
    tokens = torch.rand(_SIZE, 512, requires_grad=True)
    up, down = (torch.rand(*shape, requires_grad=True) for shape in ((2048, 512), (512, 2048)))

    def layer() -> None:
        F.linear(F.gelu(F.linear(tokens, up)), down).float().sum().backward()

    def layer_in_bfloat16() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            layer()

    works: tuple[Callable[[], object], ...] = (lambda: a @ b, lambda: a16 @ b16, layer, layer_in_bfloat16)
    seconds = [float("inf")] * len(works)
    for _ in range(_ROUNDS):  # in turns, so that a busy moment does not fall on one of them
        for number, work in enumerate(works):
            began = time.perf_counter()
            work()
            seconds[number] = min(seconds[number], time.perf_counter() - began)
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
