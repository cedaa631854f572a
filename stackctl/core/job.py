"""A host's specification and files, as data: all that the engine is given."""

from dataclasses import dataclass
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
class Job:
    """One host: how to reach it and what it must be, capabilities in the order they are deployed."""

    host: str
    connection: Connection
    parts: tuple[Part, ...]
