"""One rung of a ladder, and what it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stackctl.capabilities.gpu import Card, GpuSpec
from stackctl.core.finding import Finding
from stackctl.nvidia.observation import Observation

State = Literal["passed", "warning", "failed", "skipped"]
"""`warning`: it works, and something is left to do."""


@dataclass(frozen=True)
class Rung:
    """What was looked at, and how it is."""

    name: str
    state: State
    told: str
    """What was seen, or why it was not looked at."""
    findings: tuple[Finding, ...] = ()
    """What is wrong or left to do, each with its way out; none where it passed."""


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
    """By the UUID of the GPU, or of the instance of one."""
    image: str | None = None
    """Of the containers that were tried; None: the host has none that could be."""

    @property
    def cards(self) -> tuple[Card, ...]:
        """Those for containers."""
        return tuple(card for card in self.spec.cards if card.use == "containers")

    @property
    def given(self) -> tuple[tuple[Card, str], ...]:
        """What containers are given, by UUID: a card whole, or each instance of one."""
        instances = {gpu.uuid: gpu.mig_uuids for gpu in self.seen.smi.gpus}
        return tuple(
            (card, uuid)
            for card in self.cards
            if card.uuid is not None
            for uuid in (instances.get(card.uuid, ()) if card.mig else (card.uuid,))
        )

    def finding(self, where: str, what: str, hint: str) -> Finding:
        """Something that is wrong on the host."""
        return Finding(f"{self.host} · {where}", what, hint)

    def warning(self, where: str, what: str, hint: str) -> Finding:
        """Something that is left to do, though all works."""
        return Finding(f"{self.host} · {where}", what, hint, severity="warning")


def judged(name: str, told: str, findings: Sequence[Finding]) -> Rung:
    """Failed where something is wrong, and what that is; else passed, perhaps with something left to do."""
    wrong = [finding.what for finding in findings if finding.severity == "error"]
    if wrong:
        return Rung(name, "failed", "; ".join(wrong), tuple(findings))
    return Rung(name, "warning" if findings else "passed", told, tuple(findings))


def skipped(name: str, why: str) -> Rung:
    """Not looked at."""
    return Rung(name, "skipped", why)
