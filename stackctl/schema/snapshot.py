"""A model repository as `weights.lock` knows it: which commit it is, and every file of it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from stackctl.core.form import Form
from stackctl.core.model import Model
from stackctl.servers.base import HubWeights

COMMIT = r"[0-9a-f]{40}"
Commit = Annotated[str, Form(COMMIT, "a commit of 40 hexadecimal digits")]
Sha256 = Annotated[str, Form(r"[0-9a-f]{64}", "64 hexadecimal digits")]
FILE = r"[A-Za-z0-9_@+=][A-Za-z0-9._@+=-]*(/[A-Za-z0-9_@+=][A-Za-z0-9._@+=-]*)*"
FilePath = Annotated[str, Form(FILE, "a path in the repository, without `..` and hidden files")]
SnapshotName = Annotated[str, Form(r"[\w.-]+/[\w.-]+@[\w./-]+", "`owner/name@revision` as in the catalogue")]


_READ_RATE = 500_000_000
"""Bytes of weights a second: a SATA disk, read in order."""
_BEGIN_SECONDS = 30
"""What a server does besides; measured for vLLM with next to no weights on an idle machine."""


class LockedFile(Model):
    """One file of a repository, whatever becomes of its branch."""

    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    sha256: Sha256
    """Of its content."""


class Snapshot(Model):
    """A repository at one commit."""

    commit: Commit
    """What the revision was when it was locked."""
    files: Annotated[Mapping[FilePath, LockedFile], Field(min_length=1)]
    """Every file that is fetched."""
    config: Mapping[str, Any] = Field(default_factory=dict)
    """The model's `config.json`, from which its need of memory is known; empty where it has none."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def loads_seconds(self) -> int:
        """How long a server is assumed to take until it answers, before a start of it has been measured."""
        return _BEGIN_SECONDS + self.size // _READ_RATE


def named(weights: HubWeights) -> str:
    """What a repository of the catalogue is called in the lock."""
    return f"{weights.repo}@{weights.revision}"


def directory(root: str, weights: HubWeights, snapshot: Snapshot | None) -> str:
    """Where a repository is below a host's weights, a directory for each commit: `ROOT/hub/OWNER/NAME/COMMIT`.

    Without a snapshot the revision stands for the commit; nothing is fetched then.
    """
    commit = weights.revision.replace("/", "_") if snapshot is None else snapshot.commit
    return f"{root}/hub/{weights.repo}/{commit}"
