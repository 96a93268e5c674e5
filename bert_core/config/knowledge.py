"""The part of a recipe about triples that are hung onto the entities of a text.

Source: Liu et al. 2020, K-BERT (arXiv:1909.07606).
"""

from pydantic import Field

from bert_core.config.part import Part


class KnowledgeConfig(Part):
    """Triples of a knowledge file hung onto the entities of each text, with soft positions and a visibility matrix."""

    triples: str | None = None
    """A UTF-8 file, `subject TAB predicate TAB object` a line; empty for none. It is kept in the model's folder, and
    `bertline predict` reads it there."""
    max_triples: int = Field(default=2, ge=1, le=16)
    """Triples of one entity, the first of the file."""
