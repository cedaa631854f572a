"""Weights that hosts keep, as people read them, and as machines do."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from stackctl.core.finding import Finding
from stackctl.core.size import sized
from stackctl.doctor.weights import HostWeights, Kept
from stackctl.views.findings import counted
from stackctl.views.terminal import plain


def weights_text(hosts: Sequence[HostWeights]) -> str:
    """A line for each directory, with who needs it; the sum last."""
    kept = [item for host in hosts for item in host.kept]
    total = f"{_directories(kept)}; {len(_unused(hosts))} unused, {sized(_size(_unused(hosts)))}."
    return plain("\n".join([*(line for host in hosts for line in _host(host, host.kept)), total]))


def unused_text(hosts: Sequence[HostWeights]) -> str:
    """What a removal would remove."""
    if not _unused(hosts):
        return "All weights are used."
    listed = (line for host in hosts if host.unused for line in _host(host, host.unused))
    return plain("\n".join([*listed, f"To remove: {_directories(_unused(hosts))}."]))


def removed_text(kept: Sequence[Kept]) -> str:
    """What has been removed."""
    return f"Removed {_directories(kept)}."


def weights_json(hosts: Sequence[HostWeights], findings: Sequence[Finding]) -> str:
    """The values, as they are."""
    values = [
        {**asdict(host), "kept": [{**asdict(item), "used": item.used} for item in host.kept]}
        for host in hosts
    ]
    told = [asdict(finding) for finding in findings]
    return json.dumps({"format": 1, "hosts": values, "findings": told}, indent=2)


def _host(host: HostWeights, kept: Sequence[Kept]) -> Iterator[str]:
    room = "nothing fetched" if host.free is None else f"{sized(host.free)} free"
    yield f"{host.host}  {host.hub}, {room}"
    rows = [(_name(item), _amount(item), _users(item)) for item in kept]
    widths = [max(len(row[column]) for row in rows) for column in range(2)] if rows else [0, 0]
    for name, amount, users in rows:
        yield f"  {name.ljust(widths[0])}  {amount.rjust(widths[1])}  {users}"


def _name(item: Kept) -> str:
    name, _, commit = item.path.rpartition("/")
    return f"{name}@{commit[:12]}"


def _amount(item: Kept) -> str:
    if item.whole:
        return sized(item.size)
    return (
        f"{sized(item.size)} of {sized(item.wanted)}"
        if item.wanted is not None
        else f"{sized(item.size)} so far"
    )


def _users(item: Kept) -> str:
    extra = [f"container {name}" for name in item.containers] if not item.models else []
    return ", ".join([*item.models, *extra]) or "unused"


def _unused(hosts: Sequence[HostWeights]) -> list[Kept]:
    return [item for host in hosts for item in host.unused]


def _size(kept: Sequence[Kept]) -> int:
    return sum(item.size for item in kept)


def _directories(kept: Sequence[Kept]) -> str:
    count = counted(len(kept), "directory") if len(kept) == 1 else f"{len(kept)} directories"
    return f"{count}, {sized(_size(kept))}"
