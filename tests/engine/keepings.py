"""What a host is to keep, what somebody can do to it there, and what must come of that."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine.folderhost import FolderHost

Deeds = Mapping[str, str]
"""What was done, by what it was done to."""


@dataclass(frozen=True)
class Entry:
    """One operation of the deploy that is made of entries."""

    operation: str
    name: str
    arguments: Mapping[str, Any]
    after: str | None = None
    """An earlier entry that it is told of."""


DEPLOY = """
from pyinfra.api import deploy
from pyinfra.operations import server
from stackctl.ops import apt, files, machine, systemd

@deploy("@NAME@")
def @NAME@(spec, _files):
    modules, done = {"apt": apt, "files": files, "machine": machine, "systemd": systemd}, {}
    for entry in spec:
        if entry.operation == "shell":
            done[entry.name] = server.shell(
                name=entry.name, commands=entry.arguments["commands"], _if=done[entry.after].did_change)
        else:
            module, _, name = entry.operation.partition(".")
            after = {"after": [done[entry.after]]} if entry.after else {}
            done[entry.name] = getattr(modules[module], name)(name=entry.name, **entry.arguments, **after)
"""
"""A deploy that does what its specification, a list of entries, says."""


@dataclass
class Keeping(ABC):
    """Some operations of one host that hang together, and what they keep."""

    host: FolderHost
    number: int
    """Tells it from the others of its host."""

    @property
    def etc(self) -> Path:
        """The folder of the host's files."""
        return self.host.root / "etc"

    @abstractmethod
    def entries(self) -> list[Entry]:
        """The operations."""

    @abstractmethod
    def deeds(self) -> Mapping[str, Sequence[str]]:
        """What can be done, by what it is done to."""

    @abstractmethod
    def do(self, what: str, deed: str) -> None:
        """Somebody does it on the host."""

    @abstractmethod
    def listed(self, deeds: Deeds) -> dict[str, Any]:
        """The operations that a plan must have, each with whatever its changes depend on."""

    @abstractmethod
    def drifted(self, deeds: Deeds) -> set[str]:
        """The things that a comparison with the receipt must name."""

    def by_drift(self, deeds: Deeds) -> set[str]:
        """Operations that drift calls for even where the capability wants something else than before."""
        return set(self.listed(deeds))

    def calls(self, listed: Mapping[str, Any], deeds: Deeds) -> set[str]:
        """What the host's programs are told by an apply of these operations."""
        del listed, deeds
        return set()

    @abstractmethod
    def check(self, deeds: Deeds) -> None:
        """All is as wanted, and what is not ours as it was left."""
