"""A host's uplinks as people read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from stackctl.core.finding import Finding
from stackctl.doctor.uplinks import Uplinks, UplinkState
from stackctl.views.findings import findings_json, listed
from stackctl.views.terminal import plain


def uplinks_text(hosts: Mapping[str, Uplinks]) -> str:
    """Each host with what it is on, then a line an uplink."""
    told = ((f"{host}  {head(seen)}", *(f"  {line}" for line in lines(seen))) for host, seen in hosts.items())
    return plain("\n".join(line for block in told for line in block))


def uplinks_json(hosts: Mapping[str, Uplinks], findings: Sequence[Finding]) -> str:
    """The values, as they are."""
    return findings_json(findings, hosts={host: asdict(seen) for host, seen in hosts.items()})


def probe_text(host: str, told: Mapping[str, Any]) -> str:
    """What each target answered through one uplink, and whether that is enough."""
    width = max((len(each["target"]) for each in told["targets"]), default=0)
    rows = [f"  {each['target']:<{width}}  {_answer(each['rtt'])}" for each in told["targets"]]
    verdict = "works" if told["good"] else "does not work: too few answer"
    return plain("\n".join([f"{host}  {told['uplink']} {verdict}", *rows]))


def _answer(rtt: float | None) -> str:
    return "no answer" if rtt is None else _milliseconds(rtt)


def _milliseconds(seconds: float) -> str:
    """`0.4 ms`, `12 ms`."""
    return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"


def head(seen: Uplinks) -> str:
    """What is used, since when, and what an operator has wanted."""
    parts = [f"on {listed(seen.active)}" if seen.active else "on none of its uplinks"]
    if seen.last_switch is None:
        parts.append("never switched")
    else:
        count = "once" if seen.switches == 1 else f"{seen.switches} times"
        parts.append(f"switched {count}, {span(seen.at - seen.last_switch)} ago")
    if seen.forced is not None:
        until = seen.forced_until
        limit = "until released" if until is None else f"for {span(until - seen.at)} more"
        parts.append(f"held on {seen.forced} {limit}")
    if seen.paused:
        parts.append("paused: it switches no more")
    if not seen.running:
        parts.append("the agent does not run")
    return "; ".join(parts)


def lines(seen: Uplinks) -> Iterator[str]:
    """One an uplink, the preferred one first, in columns."""
    width = max((len(uplink.name) for uplink in seen.uplinks), default=0)
    states = [_state(uplink, seen.at) for uplink in seen.uplinks]
    room = max(map(len, states), default=0)
    for uplink, state in zip(seen.uplinks, states, strict=True):
        mark = ">" if uplink.active else " "
        yield f"{mark} {uplink.name:<{width}}  {state:<{room}}  {_quality(uplink)}".rstrip()


def span(seconds: float) -> str:
    """`90 s`, `30 min`, `5 h`, `3 d`."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, seconds) / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"


def _state(uplink: UplinkState, now: float) -> str:
    if uplink.phase == "init":
        return "not probed yet"
    if uplink.usable_at is not None and not uplink.active:
        left = uplink.usable_at - now
        return f"recovering, used again {f'in {span(left)}' if left > 0 else 'soon'}"
    carrier = "" if uplink.carrier else ", no carrier"
    return f"{uplink.phase} for {span(now - uplink.since)}{carrier}"


def _quality(uplink: UplinkState) -> str:
    loss = "" if uplink.loss is None else f"{uplink.loss:>4.0%} lost"
    rtt = "" if uplink.rtt is None else f"{_milliseconds(uplink.rtt):>8}"
    return f"{loss:<9}  {rtt}" if uplink.phase != "down" else ""
