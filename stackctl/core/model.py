"""The base of everything a person writes in YAML."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Strict, frozen, no unknown keys; a field's docstring is its manual and its JSON Schema text."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )
