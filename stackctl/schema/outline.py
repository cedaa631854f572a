"""What may stand where, asked of the JSON Schema; for the hints of findings."""

from collections.abc import Iterator
from typing import Any

from stackctl.schema.source import Key

Node = dict[str, Any]


class Outline:
    """The names and manuals of settings at any place of an inventory."""

    def __init__(self, schema: Node) -> None:
        self._root = schema

    def names(self, key: Key, kind: str | None = None) -> tuple[str, ...]:
        """Names of the settings at `key`, those of one `kind` of server where it has kinds."""
        found: dict[str, None] = {}
        for node in self._at(key):
            properties = node.get("properties", {})
            if kind in (None, properties.get("server", {}).get("const", kind)):
                found |= dict.fromkeys(properties)
        return tuple(found)

    def manual(self, key: Key) -> str | None:
        """First sentence of a setting's docstring."""
        for node in self._at(key[:-1]):
            text = node.get("properties", {}).get(key[-1], {}).get("description")
            if text:
                return " ".join(text.split()).partition(". ")[0].rstrip(".")
        return None

    def _at(self, key: Key) -> list[Node]:
        nodes = list(self._resolved(self._root))
        for step in key:
            nodes = [end for node in nodes for inner in _inner(node, step) for end in self._resolved(inner)]
        return nodes

    def _resolved(self, node: Node) -> Iterator[Node]:
        """The node itself, behind references and unions."""
        if "$ref" in node:
            yield from self._resolved(self._root["$defs"][node["$ref"].rpartition("/")[2]])
        for branch in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            yield from self._resolved(branch)
        yield node


def _inner(node: Node, step: str | int) -> Iterator[Node]:
    if isinstance(step, int):
        items = node.get("items", {})
        yield items
    elif step in node.get("properties", {}):
        yield node["properties"][step]
    else:
        yield from node.get("patternProperties", {}).values()
        extra = node.get("additionalProperties")
        if isinstance(extra, dict):
            yield extra
