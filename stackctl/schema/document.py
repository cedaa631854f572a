"""The JSON Schema of inventory files, as strict as loading is."""

from typing import Any

from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a file; names that fit no pattern are refused in it too."""
    return {"$schema": DIALECT, **_closed(model.model_json_schema())}


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {name: _closed(item) for name, item in node.items()}
    return {**inner, "additionalProperties": False} if "patternProperties" in inner else inner
