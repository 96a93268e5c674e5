"""What a training leaves for the one who watches it: TensorBoard events, a live log of rows, a dump of a bad batch.

These files hold times and differ from run to run; they lie apart from the output, whose bytes do not.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bert_core.training.batches import DrawnBatch


class RunFiles:
    """Writes to one folder while training runs."""

    def __init__(self, folder: Path, first_step: int, *, writes: bool = True) -> None:
        """Open the folder; events after `first_step`, from a run that was killed, are hidden.

        Args:
            folder: is made where it is not there.
            first_step: steps done.
            writes: False for ranks that leave writing to the first one.
        """
        self._folder, self._writes = folder, writes
        if not writes:
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._live = (folder / "live.jsonl").open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, row: Mapping[str, Any]) -> None:
        """Take note of one row of metrics."""
        if not self._writes:
            return
        self._live.write(json.dumps(row) + "\n")
        self._live.flush()
        for name, value in row.items():
            if name not in ("split", "step"):
                self._events.add_scalar(f"{row['split']}/{name}", value, row["step"])
        self._events.flush()

    def dump_batch(self, step: int, batch: DrawnBatch, reason: str, entries: list[str]) -> Path:
        """Write which examples and tokens a bad batch had, by the vocabulary's `entries`; return the file."""
        path = self._folder / f"bad-batch-step-{step}.json"
        if not self._writes:
            return path
        content = {
            "step": step,
            "reason": reason,
            "example_ids": [int(each) for each in batch.example_ids],
            "masked_tokens": [
                " ".join(entries[token] for token in example.tolist())
                for example in np.split(batch.masked_ids, batch.offsets[1:-1])
            ],
        }
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return path

    def close(self) -> None:
        """Close the files."""
        if self._writes:
            self._live.close()
            self._events.close()
