"""How the work of a run is done, which changes no byte of what comes out and is part of no fingerprint."""

from pydantic import Field

from bert_core.config.part import Part


class WorkConfig(Part):
    """How the data stages are worked on; nothing is built again when this changes."""

    processors: int | None = Field(default=None, ge=1)
    """Processors that one data stage uses, in processes and threads; empty for all of the machine."""
