"""The part of a recipe about a teacher beside the labels: earlier weights of the model itself, or another model.

Source: Xu et al. 2020 (arXiv:2002.10345) for the model as its own teacher; Hinton et al. 2015 (arXiv:1503.02531) for
soft targets with a temperature; Romero et al. 2015 (arXiv:1412.6550) and Jiao et al. 2020 (arXiv:1909.10351) for hidden
states through a projection.
"""

from typing import Literal

from pydantic import Field, model_validator

from bert_core.config.part import Part


class DistillationConfig(Part):
    """A teacher whose outputs the model follows beside the labels."""

    teacher: Literal["none", "averaged_weights", "averaged_predictions", "model"] = "none"
    """averaged_weights: one model with the mean of the weights before the last steps (SDA, Xu et al. 2020);
    averaged_predictions: the mean of the logits that these earlier weights give (SDV), which costs a pass for each;
    model: the fine-tuned model in `path`; none."""
    weight: float = Field(default=1.0, ge=0.0)
    """Factor on the distillation loss, which is added to that of the labels; 0 for none."""
    loss: Literal["mse", "kl"] = "mse"
    """mse: squared difference of the logits; kl: divergence of the student's distribution from the teacher's, both
    softened by `temperature`, times its square."""
    temperature: float = Field(default=1.0, gt=0.0)
    """kl only: what logits are divided by before the softmax."""
    last_steps: int = Field(default=1, ge=1, le=64)
    """averaged_weights and averaged_predictions only: over how many earlier steps is averaged, steps; so many copies of
    the weights are kept in memory."""
    path: str | None = None
    """model only: folder of a fine-tuned model of the same family, labels and vocabulary, of any size."""
    hidden_states: Literal["none", "last", "all"] = "none"
    """model only: follow the teacher's hidden states too, of its last layer, or for all layers of the student those at
    the same share of the teacher's depth, through a projection that is learned and then left out."""
    hidden_weight: float = Field(default=1.0, ge=0.0)
    """Factor on the mean squared difference of the hidden states."""

    @property
    def is_on(self) -> bool:
        """Whether training has a teacher at all."""
        follows_hidden = self.hidden_states != "none" and self.hidden_weight > 0
        return self.teacher != "none" and (self.weight > 0 or follows_hidden)

    @model_validator(mode="after")
    def _consistent(self) -> "DistillationConfig":
        faults = []
        if (self.teacher == "model") != (self.path is not None):
            said = "is empty" if self.path is None else f"is {self.path!r}"
            faults.append(
                f"path {said} and teacher is {self.teacher}; teacher model needs a path, the others read none"
            )
        if self.hidden_states != "none" and self.teacher != "model":
            faults.append(f"hidden_states is {self.hidden_states} and teacher is {self.teacher}, expected model")
        if self.temperature != 1.0 and self.loss != "kl":
            faults.append(f"temperature is {self.temperature:g} and loss is {self.loss}, expected kl")
        if self.last_steps != 1 and self.teacher not in ("averaged_weights", "averaged_predictions"):
            faults.append(
                f"last_steps is {self.last_steps} and teacher is {self.teacher}, expected averaged_weights or "
                "averaged_predictions"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self
