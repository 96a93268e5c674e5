"""What a training process is asked to do, as one JSON file: `{"kind": "transfer", ...}`.

Torch is not imported here, so that whoever starts the process need not load it.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from bert_core.config import ModelConfig, TransferConfig
from bert_core.errors import RequestError


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferJob:
    """One stage of pretraining: from examples and a start to a model folder."""

    examples_folder: Path
    """Holds the `train` and `held_out` shards."""
    vocabulary_folder: Path
    """Holds vocab.txt and tokenizer.json."""
    model: ModelConfig
    """Sizes for random weights, and dropout."""
    transfer: TransferConfig
    """Masking, steps, batch size, optimizer."""
    seed: int
    """Seed of the run."""
    output_folder: Path
    """Gets the model and metrics.jsonl; an existing folder."""
    resume_folder: Path
    """Keeps the checkpoints from which a killed job goes on."""
    runs_folder: Path
    """Gets what need not be the same twice: TensorBoard events, timings, dumps of bad batches."""
    start: str | None = None
    """Model folder or hub name; None for random weights."""
    long_examples_folder: Path | None = None
    """Holds the `train` and `held_out` shards of the long phase; None where there is none."""
    stage: str = "transfer"
    """Name of the stage, for the model card and the order of batches."""
    num_threads: int = 0
    """Threads of torch; 0 for its own choice."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; `auto` is CUDA where there is a device."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of matrix products; `auto` is bfloat16 where it is faster, on CPU by a measurement."""
    stored_dtype: Literal["float32", "float16"] = "float32"
    """Format of the weights in the output."""

    def to_json(self) -> str:
        """Write the job as JSON."""
        data: dict[str, Any] = {"kind": "transfer"}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Path):
                value = str(value)
            elif isinstance(value, ModelConfig | TransferConfig):
                value = value.model_dump(mode="json")
            data[part.name] = value
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    def what_bits_depend_on(self) -> dict[str, Any]:
        """Return what decides the trained weights, for the digest that ties a checkpoint to its job."""
        data = json.loads(self.to_json())
        for name in ("output_folder", "resume_folder", "runs_folder", "stored_dtype", "device"):
            del data[name]
        for name in ("save_every_steps", "keep_checkpoints", "processes"):
            del data["transfer"][name]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TransferJob":
        """Read the job from the values of its JSON form.

        Raises:
            RequestError: a value is missing, unknown or out of range.
        """
        values = {key: value for key, value in data.items() if key != "kind"}
        if values.get("device", "auto") not in ("auto", "cpu", "cuda"):
            raise RequestError(f"job of kind 'transfer' has device {values['device']!r}, expected auto, cpu or cuda")
        try:
            for name, model in (("model", ModelConfig), ("transfer", TransferConfig)):
                values[name] = model.model_validate(values[name])
            for part in ("examples_folder", "vocabulary_folder", "output_folder", "resume_folder", "runs_folder"):
                values[part] = Path(values[part])
            if values.get("long_examples_folder") is not None:
                values["long_examples_folder"] = Path(values["long_examples_folder"])
            job = cls(**values)
        except (ValidationError, KeyError, TypeError) as error:
            raise RequestError(f"job of kind 'transfer' cannot be read: {error}") from error
        if (job.long_examples_folder is None) != (job.transfer.long_phase is None):
            raise RequestError(
                f"job of kind 'transfer' has long_examples_folder {job.long_examples_folder} and long_phase "
                f"{job.transfer.long_phase}, expected both or neither"
            )
        return job
