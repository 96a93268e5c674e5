"""What every step measured, and the rows of metrics.jsonl made from it.

metrics.jsonl holds the same bytes for the same run: no times. Two kinds of rows, in order of steps:

    {"split": "train", "step": 50, "loss": ..., ...}       means over the steps since the row before
    {"split": "held_out", "step": 500, "loss": ..., ...}   one evaluation on held-out examples, fixed masks
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

STEP_COLUMNS = (
    "loss",
    "mlm_loss",
    "nsp_loss",
    "mlm_correct",
    "num_mlm",
    "nsp_correct",
    "num_nsp",
    "boundary_loss",
    "boundary_correct",
    "num_boundary",
    "examples",
    "tokens",
    "learning_rate",
    "gradient_norm",
)
SUMMED_COLUMNS = STEP_COLUMNS[: STEP_COLUMNS.index("examples")]
"""What the parts of a step add up to."""
EVALUATION_COLUMNS = (
    "step",
    "loss",
    "mlm_loss",
    "nsp_loss",
    "boundary_loss",
    "mlm_accuracy",
    "nsp_accuracy",
    "boundary_accuracy",
    "examples",
    "max_tokens",
)
_EXAMPLES, _TOKENS = STEP_COLUMNS.index("examples"), STEP_COLUMNS.index("tokens")
NUM_TRAIN_ROWS = 200
"""metrics.jsonl has about so many rows of kind train, however long the run."""


class History:
    """One row of numbers for each step and each evaluation, float64."""

    def __init__(self, num_steps: int, pair_name: str = "nsp") -> None:
        """Begin an empty history.

        Args:
            num_steps: of the whole training.
            pair_name: what the objective of pairs is called in rows, `nsp` or `sop`.
        """
        self.num_steps, self._pair_name = num_steps, pair_name
        self.steps: list[tuple[float, ...]] = []
        self.evaluations: list[tuple[float, ...]] = []

    def tensors(self) -> dict[str, Tensor]:
        """Return everything as tensors, for a checkpoint."""
        return {
            "steps": torch.tensor(self.steps, dtype=torch.float64).reshape(-1, len(STEP_COLUMNS)),
            "evaluations": torch.tensor(self.evaluations, dtype=torch.float64).reshape(-1, len(EVALUATION_COLUMNS)),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` returned; nothing where it is empty."""
        if tensors:
            self.steps = [tuple(row) for row in tensors["steps"].tolist()]
            self.evaluations = [tuple(row) for row in tensors["evaluations"].tolist()]

    @property
    def row_steps(self) -> int:
        """Steps that one train row averages over."""
        return max(1, self.num_steps // NUM_TRAIN_ROWS)

    def train_row(self, stop: int, num_steps: int) -> dict[str, Any]:
        """Average the last `num_steps` steps before `stop` (steps done)."""
        window = np.array(self.steps[max(0, stop - num_steps) : stop])
        column = dict(zip(STEP_COLUMNS, window.T, strict=True))
        row = {
            "split": "train",
            "step": stop,
            "loss": float(column["loss"].mean()),
            "mlm_loss": float(column["mlm_loss"].mean()),
            "nsp_loss": float(column["nsp_loss"].mean()),
            "boundary_loss": float(column["boundary_loss"].mean()),
            "mlm_accuracy": _share(column["mlm_correct"], column["num_mlm"]),
            "nsp_accuracy": _share(column["nsp_correct"], column["num_nsp"]),
            "boundary_accuracy": _share(column["boundary_correct"], column["num_boundary"]),
            "learning_rate": float(column["learning_rate"][-1]),
            "gradient_norm": float(column["gradient_norm"].mean()),
            "examples": int(sum(row[_EXAMPLES] for row in self.steps[:stop])),
            "tokens": int(sum(row[_TOKENS] for row in self.steps[:stop])),
        }
        return self._named(row)

    def evaluation_row(self, index: int) -> dict[str, Any]:
        """Return one evaluation as a row of metrics.jsonl."""
        values = dict(zip(EVALUATION_COLUMNS, self.evaluations[index], strict=True))
        whole = {name: int(values[name]) for name in ("step", "examples", "max_tokens")}
        return self._named({"split": "held_out", **values, **whole})

    def _named(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the objective of pairs under its own name."""
        return {key.replace("nsp_", f"{self._pair_name}_"): value for key, value in row.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows of metrics.jsonl, by step, train before held_out."""
        stops = sorted({*range(self.row_steps, len(self.steps) + 1, self.row_steps), len(self.steps)} - {0})
        rows = [self.train_row(stop, self.row_steps) for stop in stops]
        rows += [self.evaluation_row(index) for index in range(len(self.evaluations))]
        return sorted(rows, key=lambda row: (row["step"], row["split"] != "train"))

    def write(self, path: Path) -> None:
        """Write metrics.jsonl."""
        path.write_text("".join(json.dumps(row) + "\n" for row in self.rows()), encoding="utf-8")


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the share, 0 where there is nothing to share."""
    return float(part.sum() / whole.sum()) if whole.sum() else 0.0
