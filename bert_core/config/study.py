"""The part of a recipe that `bertline study` reads: which starts of fine-tuning are compared, and how often.

No stage of `bertline run` reads it.
"""

from typing import Literal, get_args

from pydantic import Field, model_validator

from bert_core.config.part import Name, Part

OrderName = Literal["random", "base", "D", "T", "D+T", "T+D"]
TRANSFERS_OF_ORDER: dict[str, tuple[str, ...]] = {
    "base": (),
    "D": ("domain_transfer",),
    "T": ("task_transfer",),
    "D+T": ("domain_transfer", "task_transfer"),
    "T+D": ("task_transfer", "domain_transfer"),
}
"""The transfers behind pretraining, in the order in which they are trained."""


class StudyConfig(Part):
    """What `bertline study` compares: starts of fine-tuning, each with several seeds over the same shards."""

    orders: list[OrderName] = Field(default_factory=list)
    """Starts that are compared: random weights, base (`pretrain`, or `model.start` where there is none), and base
    followed by D (domain_transfer), T (task_transfer) or both in either order; empty for all that the recipe's stages
    allow."""
    tasks: list[Name] = Field(default_factory=list)
    """Tasks that are fine-tuned; empty for all."""
    seeds: int = Field(default=5, ge=2, le=100)
    """Fine-tunings of each task from each start: with the recipe's `seed`, the number after it, and so on."""
    probes: int = Field(default=3, ge=0, le=10)
    """Points on the way of each transfer of a task's own start: the transfer is trained with 1/2, 1/4, 1/8 ... of its
    steps and fine-tuned from, which together costs less than training it once more; 0 for none."""
    probe_seeds: int = Field(default=2, ge=1, le=100)
    """Fine-tunings of each task from each of these points."""
    vary: dict[Name, list[str]] = Field(default_factory=dict)
    """Variants by name, each a list of settings `a.b=value` that are replaced; compared with the recipe as it is."""

    @model_validator(mode="after")
    def _consistent(self) -> "StudyConfig":
        faults = [f"vary.{name} replaces no setting; write `a.b=value`" for name, part in self.vary.items() if not part]
        faults += [f"vary.{name} has the name of an order" for name in self.vary if name in get_args(OrderName)]
        for key, values in (("orders", self.orders), ("tasks", self.tasks)):
            if len(set(values)) != len(values):
                faults.append(f"{key} {values} holds one twice")
        if faults:
            raise ValueError("; ".join(faults))
        return self
