"""What somebody or something else changed on a host since the last apply, apart from what is wanted anew."""

from collections.abc import Mapping
from dataclasses import dataclass

from stackctl.core.finding import Finding
from stackctl.plan.change import Change
from stackctl.plan.receipt import Receipt, Things


@dataclass(frozen=True)
class Drifted:
    """One thing that is not as the last apply left it."""

    thing: str
    """`file /etc/hosts`, `package curl`, `unit docker.service`."""
    was: Mapping[str, str]
    """Its state in the receipt; empty: it was not there."""
    now: Mapping[str, str]
    """The parts of its state that differ now, or all of them; empty: it is gone."""

    @property
    def differences(self) -> tuple[str, ...]:
        """`mode 644 became 600`, one for each part of the state."""
        if not self.was:
            return ("appeared",)
        if not self.now:
            return ("is gone",)
        parts = sorted(self.was.keys() | self.now.keys())
        return tuple(
            _difference(part, self.was.get(part), self.now.get(part))
            for part in parts
            if self.was.get(part) != self.now.get(part)
        )


@dataclass(frozen=True)
class HostDrift:
    """One host against its receipt."""

    host: str
    since: Receipt | None = None
    """None: no apply has ended on this host yet, so that nothing can be compared."""
    things: tuple[Drifted, ...] = ()
    changes: tuple[Change, ...] = ()
    """What the next apply would do only because of the drift."""
    wanted: tuple[Change, ...] = ()
    """What it would do because the inventory or stackctl itself wants something else than at the last apply."""
    findings: tuple[Finding, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether there is any."""
        return bool(self.things or self.changes)


@dataclass(frozen=True)
class Drift:
    """All hosts of a run, in name order."""

    environment: str
    hosts: tuple[HostDrift, ...]

    @property
    def drifted(self) -> bool:
        """Whether any host has."""
        return any(host.drifted for host in self.hosts)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that kept a host from being compared."""
        return tuple(finding for host in self.hosts for finding in host.findings)


@dataclass(frozen=True)
class Seen:
    """What a plan's operations keep, each with the state found, and the change it wants, if any."""

    capability: str
    things: Things
    change: Change | None


def drift(host: str, receipt: Receipt | None, seen: tuple[Seen, ...], wanted: Mapping[str, str]) -> HostDrift:
    """Compare what is seen with the receipt; `wanted` has the fingerprints of today's inventory.

    A change is drift's when one of its things has drifted, when it hangs on such a change, or when its capability
    wants what it wanted at the last apply; any other is the inventory's.
    """
    if receipt is None:
        return HostDrift(host, wanted=tuple(item.change for item in seen if item.change is not None))
    things = {thing: state for item in seen for thing, state in item.things.items()}
    drifted = {
        thing: Drifted(thing, receipt.things[thing], now)
        for thing, now in sorted(things.items())
        if thing in receipt.things and receipt.things[thing] != now
    }
    by_drift: list[Change] = []
    by_inventory: list[Change] = []
    for item in seen:
        if item.change is not None:
            same = receipt.wanted.get(item.capability) == wanted.get(item.capability)
            own = bool(item.things.keys() & drifted.keys())
            hanging = any(
                (cause.capability, cause.operation) in ((item.capability, name) for name in item.change.after)
                for cause in by_drift
            )
            caused = same or own or hanging
            (by_drift if caused else by_inventory).append(item.change)
    return HostDrift(host, receipt, tuple(drifted.values()), tuple(by_drift), tuple(by_inventory))


def _difference(part: str, was: str | None, now: str | None) -> str:
    if part in ("sha256", "configuration", "changed"):  # nobody reads these
        return "content changed" if part != "configuration" else "configuration changed"
    if was is None or now is None:
        return f"{part} is {now}" if was is None else f"{part} is no more {was}"
    return f"{part} {was} became {now}"
