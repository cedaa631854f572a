"""What a host's agent says of its uplinks, and how it is told what to do."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stackctl.capabilities.wan import AGENT_FILE, CONFIG_FILE, UNIT, WanSpec
from stackctl.core.finding import Finding
from stackctl.core.job import Job

ABSENT = 66
"""Exit status where there is no agent on the host."""
_REFUSED = 2
"""Exit status of the agent's own where it does not know what it was asked about."""


@dataclass(frozen=True)
class UplinkState:
    """One uplink; times are in seconds since 1970."""

    name: str
    interface: str
    phase: str
    """`up`, `degraded`, `down`, `recovering`, or `init` until it has been probed often enough."""
    since: float
    active: bool
    carrier: bool
    loss: float | None
    """Share of probes that were lost; None: too few to say."""
    rtt: float | None
    """Round trip in seconds."""
    usable_at: float | None
    """When one that recovers will be used again, as far as it stays well."""


@dataclass(frozen=True)
class Uplinks:
    """All uplinks of a host as the agent sees them, the preferred one first."""

    running: bool
    """False: this is what the agent left when it ended."""
    at: float
    """When the host said it, by its clock."""
    active: tuple[str, ...]
    """Those that new connections take."""
    forced: str | None
    """The one that an operator has chosen."""
    forced_until: float | None
    paused: bool
    frozen: bool
    """All look bad, so that the agent moves nothing."""
    switches: int
    last_switch: float | None
    uplinks: tuple[UplinkState, ...]


def wanted(job: Job) -> WanSpec | None:
    """The uplinks of a host that has them managed."""
    specs = (part.spec for part in job.parts if isinstance(part.spec, WanSpec))
    return next((spec for spec in specs if spec.uplinks), None)


def order(*words: str) -> str:
    """The shell script that has the agent do something: `status`, `switch lte --for 600`, `release`."""
    told = " ".join(map(shlex.quote, words))
    return (
        f"[ -e {AGENT_FILE} ] && [ -e {CONFIG_FILE} ] || exit {ABSENT}\n"
        f"exec python3 -I {AGENT_FILE} {told} {CONFIG_FILE}\n"
    )


def read(text: str) -> Uplinks | None:
    """The agent's answer; None where it is none that this version understands."""
    try:
        told = json.loads(text)
        uplinks = tuple(_uplink(each) for each in told["uplinks"])
        values = {name: told[name] for name in Uplinks.__dataclass_fields__ if name != "uplinks"}
        return Uplinks(**{**values, "active": tuple(told["active"])}, uplinks=uplinks)
    except (ValueError, TypeError, KeyError):
        return None


def _uplink(told: Mapping[str, Any]) -> UplinkState:
    return UplinkState(**{name: told[name] for name in UplinkState.__dataclass_fields__})


def unanswered(host: str, environment: str, status: int, said: str) -> Finding:
    """Why the agent of a host has not done what it was asked."""
    where = f"{host} · wan"
    if status == ABSENT:
        hint = f"run `stackctl apply {environment} --limit {host}`"
        return Finding(where, "there is no agent on the host yet", hint)
    lines = tuple(said.strip().splitlines())
    what = lines[-1] if lines else f"the agent gave no answer, exit status {status}"
    hint = f"`stackctl wan status {host}`, and `systemctl status {UNIT}` there, tell more"
    if status == _REFUSED:
        hint = f"run `stackctl apply {environment} --limit {host}`, which tells the agent what is written now"
    return Finding(where, what, hint, lines[:-1])


def troubles(host: str, seen: Uplinks) -> Iterator[Finding]:
    """What somebody should look at, worst first."""
    where = f"{host} · wan"
    if not seen.running:
        hint = f"read `journalctl -u {UNIT}` on the host; its routes stay as it left them"
        yield Finding(where, "the agent does not run, so that nobody leaves an uplink that fails", hint)
        return
    if seen.frozen:
        test = f"`stackctl wan test {host} {seen.uplinks[0].name}`"
        hint = f"the host or the targets may be at fault rather than the uplinks: {test} tells more"
        yield Finding(where, "all uplinks look bad, so that the agent moves nothing", hint)
    for uplink in seen.uplinks:
        if uplink.phase == "down":
            why = "" if uplink.carrier else f": {uplink.interface} has no carrier"
            hint = "look at cable, router and provider; it is used again by itself once it is well"
            yield Finding(where, f"`{uplink.name}` is down{why}", hint)
        elif uplink.phase == "degraded":
            yield Finding(where, f"`{uplink.name}` {_bad(uplink)}", "ask its provider, or look at the line")


def _bad(uplink: UplinkState) -> str:
    loss = "" if uplink.loss is None else f" loses {uplink.loss:.0%} of packets"
    slow = "" if uplink.rtt is None else f" takes {uplink.rtt * 1000:.0f} ms"
    return (" and".join(part for part in (loss, slow) if part) or " is degraded").strip()
