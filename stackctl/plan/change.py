"""The values a plan is made of; they are compared, shown and saved, and do nothing."""

from dataclasses import dataclass, field
from typing import Literal

from stackctl.core.finding import Finding

Action = Literal["add", "change", "remove", "run"]
"""`run` is an action with nothing to compare, such as waiting for a model to answer."""


@dataclass(frozen=True)
class FileChange:
    """One file that would be written."""

    path: str
    action: Literal["add", "change"]
    reason: str
    """What differs, in a few words: `new`, `2 lines added, 1 removed`, `mode 644 becomes 600`."""
    diff: str = ""
    """Unified diff; empty for secret and binary content and where only attributes differ."""
    sha256: str = ""
    """Hash of the content it will have; empty for secret content."""


@dataclass(frozen=True)
class Change:
    """One operation that would change its host, with all that it would do."""

    capability: str
    operation: str
    action: Action
    reason: str
    files: tuple[FileChange, ...] = ()
    commands: tuple[str, ...] = ()
    """Shell commands as they would run; no secret is ever in one."""
    after: tuple[str, ...] = ()
    """Names of the earlier operations that this one hangs on: what it does is certain only once they are done."""
    guard: str | None = None
    """Name of the guard that takes the change back on the host unless it is reached again."""


@dataclass(frozen=True)
class HostPlan:
    """What one host would go through, in order; `findings` say why it cannot be planned."""

    host: str
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    round_trips: int = field(default=0, compare=False)
    """Exchanges with the host that the evaluation took, after the connection."""


@dataclass(frozen=True)
class Plan:
    """All hosts of a run, in name order."""

    environment: str
    hosts: tuple[HostPlan, ...]

    @property
    def changes(self) -> int:
        """How many operations would change something."""
        return sum(len(host.changes) for host in self.hosts)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that kept a host from being planned."""
        return tuple(finding for host in self.hosts for finding in host.findings)


@dataclass(frozen=True)
class HostOutcome:
    """How an apply went on one host."""

    host: str
    done: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    left: tuple[Change, ...] = ()
    """What a second evaluation still wanted to change: empty, or the host did not converge."""
    reached: bool = True
    """False where the rollout stopped before it came to this host."""

    @property
    def failed(self) -> bool:
        """Whether it has a finding or did not converge."""
        return bool(self.findings or self.left)


@dataclass(frozen=True)
class Outcome:
    """How an apply went on all hosts."""

    environment: str
    hosts: tuple[HostOutcome, ...]

    @property
    def failed(self) -> bool:
        """Whether any host failed or was not reached."""
        return any(host.failed or not host.reached for host in self.hosts)
