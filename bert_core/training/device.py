"""Which device and number format training uses, decided by what the machine can do."""

import contextlib
from dataclasses import dataclass

import torch

from bert_core.training.ranks import local_rank


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

    def __str__(self) -> str:
        name = "float32" if self.autocast_dtype is None else "bfloat16 autocast"
        return f"{self.device.type}, {name}"


def choose_device(precision: str = "auto") -> Device:
    """Choose CUDA where there is one, the device of this rank, and bfloat16 where the hardware multiplies it fast.

    Args:
        precision: "auto", "float32" or "bfloat16".
    """
    if torch.cuda.is_available():
        device, fast = torch.device("cuda", local_rank()), torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        device = torch.device("cpu")
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    use_bfloat16 = fast if precision == "auto" else precision == "bfloat16"
    return Device(device, torch.bfloat16 if use_bfloat16 else None)
