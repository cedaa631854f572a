"""One rung of a ladder, and what it is judged by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from stackctl.capabilities.gpu import Card, GpuSpec
from stackctl.core.finding import Finding
from stackctl.nvidia.observation import Observation

State = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Rung:
    """What was looked at, and how it is."""

    name: str
    state: State
    told: str
    """What was seen, or why it was not looked at."""
    findings: tuple[Finding, ...] = ()
    """What is wrong, each with its way out; none unless it failed."""


@dataclass(frozen=True)
class Trial:
    """What came of starting a container on one GPU, and of a program in it."""

    sees: tuple[str, ...] = ()
    """UUIDs of the GPUs that the container sees."""
    failed: str | None = None
    """What was said where it did not start."""
    worked: bool | None = None
    """Whether the program gave the right result; None: it could not be run."""
    told: str = ""
    """What the program said, or why it could not be run."""


@dataclass(frozen=True)
class Case:
    """A host's GPUs as declared and as seen."""

    host: str
    spec: GpuSpec
    seen: Observation
    trials: Mapping[str, Trial] = field(default_factory=dict)
    """By the UUID of the GPU."""
    image: str | None = None
    """Of the containers that were tried; None: the host has none that could be."""

    @property
    def cards(self) -> tuple[Card, ...]:
        """Those for containers."""
        return tuple(card for card in self.spec.cards if card.use == "containers")

    def finding(self, where: str, what: str, hint: str) -> Finding:
        """A finding about the host."""
        return Finding(f"{self.host} · {where}", what, hint)


def judged(name: str, told: str, findings: list[Finding]) -> Rung:
    """Failed where something is wrong, and what that is; else passed."""
    if findings:
        return Rung(name, "failed", "; ".join(finding.what for finding in findings), tuple(findings))
    return Rung(name, "passed", told)


def skipped(name: str, why: str) -> Rung:
    """Not looked at."""
    return Rung(name, "skipped", why)
