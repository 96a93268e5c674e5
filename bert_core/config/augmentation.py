"""The parts of a recipe that make more training examples of the labelled ones.

Source: Wei and Zou 2019, EDA (arXiv:1901.11196), for the four operations over words; Wu et al. 2019 (arXiv:1812.06705)
for words drawn from a masked language model.
"""

from typing import Literal

from pydantic import Field, model_validator

from bert_core.config.part import Fraction, Part

Operation = Literal["synonym", "insert", "swap", "delete"]


class AugmentationConfig(Part):
    """Copies of training records with some words changed (EDA, Wei and Zou 2019); entities and answers stay whole."""

    copies: int = Field(default=0, ge=0, le=32)
    """Copies of each training record; 0 for none. Wei and Zou advise 16 for 500 records, 4 for 5,000 and more."""
    operations: list[Operation] = Field(default_factory=lambda: ["synonym", "insert", "swap", "delete"], min_length=1)
    """What changes a copy, in turn: synonym puts a synonym in a word's place, insert adds the synonym of a word between
    two words, swap exchanges two words, delete leaves words out."""
    word_share: Fraction = 0.1
    """Share of a text's words that one copy changes, at least one word; for delete the probability of each, 0 to 1."""
    labels: list[str] = Field(default_factory=list)
    """Only records of these classes, or with an entity of these types, are copied; empty for all."""
    thesaurus: str | None = None
    """For synonym and insert: a file of synonyms in the shape of the extended Cilin, a group a line:
    `Aa01A02= 人类 生人 全人类`; `package://NAME/file` names a file inside an installed Python package."""

    @model_validator(mode="after")
    def _has_synonyms(self) -> "AugmentationConfig":
        wanted = [name for name in self.operations if name in ("synonym", "insert")]
        if self.copies and wanted and self.thesaurus is None:
            raise ValueError(
                f"thesaurus is empty and operations has {' and '.join(wanted)}; name a file of synonyms, or keep "
                "swap and delete alone"
            )
        if len(set(self.operations)) != len(self.operations):
            raise ValueError(f"operations {self.operations} holds one twice")
        return self
