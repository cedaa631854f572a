"""The base of everything a person writes in YAML."""

import ast
import inspect
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Model(BaseModel):
    """Strict, frozen, no unknown keys; a field's docstring is its manual and its JSON Schema text."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        validate_default=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Put in the manuals. pydantic can, but reads all sources for it whenever a program starts."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, manual in manuals(cls).items():
            if name in properties:
                properties[name].setdefault("description", manual)
        return schema


def manuals(model: type[BaseModel]) -> dict[str, str]:
    """The docstrings of a model's fields by name, inherited ones included."""
    found: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if issubclass(parent, Model):
            found |= _docstrings(parent)
    return {name: text for name, text in found.items() if name in model.model_fields}


@cache
def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    body = ast.parse(dedent(inspect.getsource(model))).body[0]
    found = {}
    for field, text in pairwise(getattr(body, "body", [])):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(manual))):
                found[name] = inspect.cleandoc(manual)
    return found
