"""A host's specification and files, as data: all that the engine is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.core.artifact import Artifact
from stackctl.core.connection import Connection


@dataclass(frozen=True)
class Part:
    """One capability of one host."""

    capability: str
    spec: Any
    """The capability's own frozen dataclass; its deploy knows which."""
    files: tuple[Artifact, ...]


@dataclass(frozen=True)
class Standing:
    """How a host stands to the others: whom it waits for, and what must not go down with it."""

    after: frozenset[str] = frozenset()
    """Hosts that have to be done before it, such as those whose models its gateway sends requests to."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Models that it carries and other hosts too, each with the number of hosts that do."""


@dataclass(frozen=True)
class Job:
    """One host: how to reach it and what it must be, capabilities in the order they are deployed."""

    host: str
    connection: Connection
    parts: tuple[Part, ...]
    standing: Standing = field(default_factory=Standing)
