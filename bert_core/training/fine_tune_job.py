"""What a fine-tuning process is asked to do, as one JSON file: `{"kind": "fine_tune", ...}`.

Torch is not imported here, so that whoever starts the process need not load it.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from bert_core.config import ModelConfig, TaskConfig
from bert_core.errors import RequestError

_FOR_TRANSFER_ONLY = {"kind", "resume_folder", "runs_folder"}
"""Keys of a job file that a fine-tuning has no use for: it is short, and starts over when it was killed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuneJob:
    """One fine-tuning: from labelled examples and a start to a model folder with its scores."""

    labelled_folder: Path
    """Holds the `train`, `dev` and `test` shards."""
    vocabulary_folder: Path
    """Holds vocab.txt and tokenizer.json."""
    model: ModelConfig
    """Sizes for random weights, and dropout."""
    task: TaskConfig
    """Family, labels, and how it is fine-tuned."""
    seed: int
    """Seed of the run."""
    output_folder: Path
    """Gets the model, metrics.jsonl, scores.json and predictions.jsonl; an existing folder."""
    start: str | None = None
    """Model folder or hub name; None for random weights."""
    like: str | None = None
    """Model folder or hub name that gives the sizes of random weights; None for those of `model`."""
    num_threads: int = 0
    """Threads of torch; 0 for its own choice."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of matrix products; `auto` is bfloat16 where the hardware has it."""

    def __post_init__(self) -> None:
        if self.start is not None and self.like is not None:
            raise RequestError(
                f"job has both start {self.start!r} and like {self.like!r}; `like` is for random weights alone"
            )

    def to_json(self) -> str:
        """Write the job as JSON."""
        data: dict[str, Any] = {"kind": "fine_tune"}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Path):
                value = str(value)
            elif isinstance(value, ModelConfig | TaskConfig):
                value = value.model_dump(mode="json")
            data[part.name] = value
        return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "FineTuneJob":
        """Read the job from the values of its JSON form.

        Raises:
            RequestError: a value is missing, unknown or out of range.
        """
        values = {key: value for key, value in data.items() if key not in _FOR_TRANSFER_ONLY}
        try:
            values["model"] = ModelConfig.model_validate(values["model"])
            values["task"] = TaskConfig.model_validate(values["task"])
            for part in ("labelled_folder", "vocabulary_folder", "output_folder"):
                values[part] = Path(values[part])
            return cls(**values)
        except (ValidationError, KeyError, TypeError) as error:
            raise RequestError(f"job of kind 'fine_tune' cannot be read: {error}") from error
