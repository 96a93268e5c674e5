"""The parts of a recipe about pretraining: the encoder, the optimizer, and one stage of transfer.

Defaults follow Devlin et al. 2019 (arXiv:1810.04805) and Turc et al. 2019 (arXiv:1908.08962) where the field's
description names no other source.
"""

from typing import Literal

from pydantic import Field, model_validator

from bert_core.config.part import Fraction, Name, Part
from bert_core.config.text import ExamplesConfig, MaskingConfig


class ModelConfig(Part):
    """The encoder: sizes for random weights, or a model folder to start from."""

    start: str | None = None
    """A transformers BERT folder or hub name whose weights begin the line; empty for random weights."""
    num_layers: int = Field(default=4, ge=1, le=48)
    """Encoder layers; read only for random weights."""
    hidden_size: int = Field(default=256, ge=16, le=2048)
    """Width of a token's vector; read only for random weights."""
    num_heads: int = Field(default=4, ge=1, le=64)
    """Attention heads; divides hidden_size; read only for random weights."""
    intermediate_size: int = Field(default=1024, ge=16, le=16384)
    """Width of the feed-forward layer; read only for random weights."""
    max_positions: int = Field(default=512, ge=16, le=2048)
    """Longest sequence that the position embeddings know, tokens; read only for random weights."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout probability of hidden states and attention while training."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelConfig":
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        return self


class OptimizationConfig(Part):
    """AdamW with warm-up and decay."""

    learning_rate: float = Field(default=1e-4, gt=0.0, le=0.1)
    """Peak learning rate. From random weights 1e-4 at base size (Devlin et al. 2019), 5e-4 at small ones (Clark et al.
    2020); to go on from a checkpoint 2e-5 to 5e-5 at base size (Sun et al. 2019), 1e-4 with large batches
    (Gururangan et al. 2020)."""
    warmup_fraction: Fraction = 0.06
    """Share of the steps in which the learning rate climbs from zero, 0 to 1."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=1.0)
    """Decoupled weight decay; not on biases and layer norms."""
    adam_beta2: float = Field(default=0.999, gt=0.0, lt=1.0)
    """Second-moment decay of AdamW."""
    max_gradient_norm: float = Field(default=1.0, gt=0.0)
    """Gradients are clipped to this global L2 norm."""
    layer_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    """Factor on the learning rate from each layer to the one below it; 1 for none."""


class LongPhaseConfig(Part):
    """A last phase of a stage on long examples: short ones are cheap, and long ones teach the later positions."""

    max_tokens: int = Field(default=512, ge=16, le=512)
    """Longest example of the phase with its special tokens, above `examples.max_tokens`, tokens."""
    step_share: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Share of the stage's steps, the last ones (Devlin et al. 2019), above 0 to 1."""


class TransferConfig(Part):
    """One stage of pretraining over one corpus: MLM, and next sentence or sentence order where there are pairs."""

    corpus: Name | None = None
    """Name of the corpus it reads; task_transfer reads the training texts of `tasks` instead."""
    tasks: list[Name] = Field(default_factory=list)
    """task_transfer only: tasks whose training texts it reads."""
    examples: ExamplesConfig = Field(default_factory=ExamplesConfig)
    """How its examples are built."""
    long_phase: LongPhaseConfig | None = None
    """Ends the stage on longer examples of the same documents, as many in a step as before, in parts of about as many
    tokens as before; empty for one length throughout."""
    masking: MaskingConfig = Field(default_factory=MaskingConfig)
    """How its examples are masked; read by training only."""
    steps: int = Field(default=10_000, ge=1)
    """Optimizer steps."""
    batch_examples: int = Field(default=32, ge=1)
    """Examples in one optimizer step."""
    part_examples: int | None = Field(default=None, ge=1)
    """A step is worked off in parts of at most so many examples whose gradients add up, which needs less memory and
    changes nothing else; empty for one part."""
    pack_tokens: int | None = Field(default=None, ge=16, le=8192)
    """Examples share rows of up to so many tokens, with attention kept to each and positions beginning anew
    (Krell et al. 2021), in batches of random order; empty for one example a row, in batches of like length."""
    processes: int = Field(default=1, ge=1, le=64)
    """Processes that share each step on a machine without CUDA, where sums are then rounded otherwise; with CUDA there
    is one for each device."""
    span_boundary: bool = False
    """Predict each hidden token from the borders of its span too, the span-boundary objective (Joshi et al. 2020)."""
    optimization: OptimizationConfig = Field(default_factory=OptimizationConfig)
    """Optimizer settings."""
    average_decay: float | None = Field(default=None, ge=0.5, lt=1.0)
    """Evaluate and hand on a moving average of the weights that keeps this share of itself at each step (Polyak and
    Juditsky 1992), 0.999 for some thousand steps; empty for the last weights."""
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Dropout probability in this stage; empty for that of `model`."""
    evaluate_every_steps: int = Field(default=500, ge=1)
    """Steps between evaluations on held-out documents."""
    save_every_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints from which a killed run goes on."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept while the stage runs; an older one is taken where a newer one is damaged."""

    def first_long_step(self) -> int:
        """Return the first step (from 0) of the long phase, `steps` where there is none.

        Example: 1,000 steps with a share of 0.1 give 900.
        """
        return self.steps - (round(self.steps * self.long_phase.step_share) if self.long_phase is not None else 0)

    def long_examples(self) -> ExamplesConfig:
        """Return how the examples of the long phase are built; there must be one."""
        assert self.long_phase is not None
        return self.examples.model_copy(update={"max_tokens": self.long_phase.max_tokens})

    def as_long_phase(self) -> "TransferConfig":
        """Return the settings of the long phase: its examples, rows that hold them, parts of as many tokens.

        Example: parts of 32 examples of 128 tokens become parts of 8 of 512.
        """
        examples = self.long_examples()
        part_tokens = (self.part_examples or self.batch_examples) * self.examples.max_tokens
        rows = None if self.pack_tokens is None else max(self.pack_tokens, examples.max_tokens)
        parts = max(1, part_tokens // examples.max_tokens)
        return self.model_copy(update={"examples": examples, "pack_tokens": rows, "part_examples": parts})

    @model_validator(mode="after")
    def _long_phase_is_longer(self) -> "TransferConfig":
        if self.long_phase is not None and self.long_phase.max_tokens <= self.examples.max_tokens:
            raise ValueError(
                f"long_phase.max_tokens is {self.long_phase.max_tokens}, expected more than examples.max_tokens, "
                f"{self.examples.max_tokens}"
            )
        return self

    @model_validator(mode="after")
    def _examples_fit_rows(self) -> "TransferConfig":
        if self.pack_tokens is not None and self.pack_tokens < self.examples.max_tokens:
            raise ValueError(
                f"pack_tokens is {self.pack_tokens}, expected at least examples.max_tokens, {self.examples.max_tokens}"
            )
        return self
