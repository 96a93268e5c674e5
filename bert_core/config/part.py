"""What every part of a recipe has in common: frozen, unknown keys refused, plain JSON values for fingerprints."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Part(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused, no silent conversion of kinds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, for a fingerprint or a job file."""
        return self.model_dump(mode="json")
