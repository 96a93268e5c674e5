"""How fast the steps of this process were: tokens per second, and model FLOPs utilisation (MFU).

MFU is the arithmetic that the model needs for its tokens (`model/flops.py`) over what the devices could have done in
the same time: on CPU the measured speed of large matrix products, on CUDA the maker's figure (`machine.py`).
"""

import numpy as np

from bert_core.model.encoder import BertConfig
from bert_core.model.flops import training_flops
from bert_core.training.batches import DrawnBatch
from bert_core.training.device import Device


class Speed:
    """Time, tokens and FLOPs of each step of this process."""

    def __init__(self, config: BertConfig, device: Device, num_ranks: int) -> None:
        self._config = config
        self._peak_flops = device.peak_flops() * num_ranks
        self._steps: list[tuple[float, float, float]] = []

    def add(self, batch: DrawnBatch, seconds: float) -> None:
        """Take note of a step."""
        lengths = np.diff(batch.offsets)
        flops = training_flops(self._config, lengths, batch.counts.mlm, batch.counts.boundary)
        self._steps.append((seconds, batch.num_tokens, flops))

    @property
    def seconds(self) -> float:
        """Return the time of all steps."""
        return sum(seconds for seconds, _, _ in self._steps)

    def over_last(self, num_steps: int | None) -> dict[str, float]:
        """Return `tokens_per_second` over the last steps, None for all, and `mfu` (0 to 1) where the peak is known."""
        steps = self._steps if num_steps is None else self._steps[-num_steps:]
        if not steps:
            return {"tokens_per_second": 0.0}
        seconds, tokens, flops = np.array(steps).sum(axis=0).tolist()
        found = {"tokens_per_second": tokens / seconds}
        return found | ({"mfu": flops / seconds / self._peak_flops} if self._peak_flops else {})
