"""Which device and number format training uses, decided by what the machine can do."""

import contextlib
import logging
from dataclasses import dataclass

import torch

from bert_core.errors import RequestError
from bert_core.training.machine import cuda_peak, processor_speed
from bert_core.training.ranks import ALONE, Ranks, local_rank

_log = logging.getLogger(__name__)
_WORTH_IT = 1.1
"""bfloat16 is taken where it is so many times as fast; it rounds more."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors live and in which format matrices are multiplied; weights are always float32."""

    device: torch.device
    autocast_dtype: torch.dtype | None
    """None for float32 throughout."""

    def autocast(self) -> contextlib.AbstractContextManager:
        """Return the context for a forward pass."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def peak_flops(self) -> float:
        """Return the FLOP/s that matrix products reach at best in this format; 0 where that is not known.

        On CPU what one thread was measured to do times the threads, which is more than threads of one core can; on CUDA
        the maker's figure for bfloat16.
        """
        if self.device.type == "cuda":
            return cuda_peak(torch.cuda.get_device_name(self.device)) if self.autocast_dtype is not None else 0.0
        speed = processor_speed()
        of_one_thread = speed.float32_flops if self.autocast_dtype is None else speed.bfloat16_flops
        return of_one_thread * torch.get_num_threads()

    def __str__(self) -> str:
        name = "float32" if self.autocast_dtype is None else "bfloat16 autocast"
        return f"{self.device.type}, {name}"


def choose_device(precision: str = "auto", device: str = "auto", ranks: Ranks = ALONE) -> Device:
    """Choose CUDA where there is one, the device of this rank, and bfloat16 where it is faster.

    On CUDA the hardware says so, on a CPU that multiplies bfloat16 it is measured. With CUDA only kernels that add in
    a fixed order are used, because a resumed run must end with the same bits.

    Args:
        precision: "auto", "float32" or "bfloat16".
        device: "auto", "cpu" or "cuda".
        ranks: who must choose alike.

    Raises:
        RequestError: CUDA was asked for and is not to be had.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        built = torch.version.cuda
        reason = "this torch is built without CUDA" if built is None else f"torch (CUDA {built}) sees no device"
        raise RequestError(
            f"device 'cuda' was asked for, but {reason}; expected a CUDA device, a driver and a torch for it; "
            "ask for 'cpu' or 'auto'"
        )
    if has_cuda and device != "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        # no kernel here reads what it did not write
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
        chosen = torch.device("cuda", local_rank())
        fast = precision == "auto" and torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        chosen = torch.device("cpu")
        fast = precision == "auto" and _bfloat16_is_worth_it(ranks)
    use_bfloat16 = fast or precision == "bfloat16"
    return Device(chosen, torch.bfloat16 if use_bfloat16 else None)


def _bfloat16_is_worth_it(ranks: Ranks) -> bool:
    """Measure on the first rank, where the processor knows bfloat16, and tell the others."""
    answer = torch.zeros(1)
    if ranks.is_first and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        speed = processor_speed()
        answer += speed.float32_layer_seconds > _WORTH_IT * speed.bfloat16_layer_seconds
        _log.info(
            "%s on this processor: a layer takes %.1f ms in bfloat16, %.1f ms in float32 (measured once a machine)",
            "bfloat16" if answer else "float32",
            1000 * speed.bfloat16_layer_seconds,
            1000 * speed.float32_layer_seconds,
        )
    return bool(ranks.total(answer))
