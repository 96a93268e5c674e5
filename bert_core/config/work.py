"""How the work of a run is done, which changes no byte of what comes out and is part of no fingerprint."""

from pydantic import Field

from bert_core.config.part import Part


class WorkConfig(Part):
    """How stages are worked on; nothing is built again when this changes."""

    processors: int | None = Field(default=None, ge=1)
    """Processors that one data stage uses, in processes and threads; empty for all of the machine."""
    fine_tunings_at_once: int | None = Field(default=None, ge=1, le=64)
    """Fine-tunings that run at once, each with its share of the processors; empty for 2 on a CPU, 1 with a GPU."""
