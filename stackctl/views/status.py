"""Hosts at a glance."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from stackctl.doctor.peers import Peer
from stackctl.doctor.status import HostStatus
from stackctl.views.drift import made
from stackctl.views.findings import counted
from stackctl.views.terminal import plain
from stackctl.views.wan import head, lines, span

_SHOWN = 3
"""Silent peers that are named."""


def status_text(hosts: Sequence[HostStatus]) -> str:
    """A line a host, and one or few for its uplinks and its mesh; the sum last."""
    told = [line for host in hosts for line in _host(host)]
    well = sum(host.well for host in hosts)
    count = counted(len(hosts), "host")
    total = f"{count}, all well." if well == len(hosts) else f"{well} of {count} well."
    return plain("\n".join([*told, total]))


def status_json(hosts: Sequence[HostStatus]) -> str:
    """The values, as they are; of receipts only who made them."""
    well = all(host.well for host in hosts)
    return json.dumps({"format": 1, "well": well, "hosts": [_values(host) for host in hosts]}, indent=2)


def _values(host: HostStatus) -> dict[str, Any]:
    values = {**asdict(host), "well": host.well}
    if values["applied"] is not None:
        del values["applied"]["things"], values["applied"]["wanted"]
    values["peers"] = [{**asdict(peer), "silent": peer.silent} for peer in host.peers]
    return values


def _host(host: HostStatus) -> Iterator[str]:
    if not host.reached:
        yield f"{host.host}  not reached"
        return
    yield f"{host.host}  {'never applied' if host.applied is None else f'applied {made(host.applied)}'}"
    if host.wan is not None:
        yield f"  wan   {head(host.wan)}"
        yield from (f"        {line}" for line in lines(host.wan))
    elif any(finding.where == f"{host.host} · wan" for finding in host.findings):
        yield "  wan   no answer from the agent"
    if host.peers:
        yield f"  mesh  {_mesh(host.peers)}"


def _mesh(peers: Sequence[Peer]) -> str:
    """Peers that nobody speaks to may be silent."""
    silent = [peer for peer in peers if peer.silent]
    if silent:
        shown = ", ".join(f"{peer.name} {_age(peer)}" for peer in silent[:_SHOWN])
        more = f" and {len(silent) - _SHOWN} more" if len(silent) > _SHOWN else ""
        return f"{counted(len(peers), 'peer')}, {len(silent)} silent: {shown}{more}"
    ages = [peer.age for peer in peers if peer.age is not None]
    oldest = f", the last handshakes {span(max(ages))} ago or less" if ages else ", none was heard yet"
    return f"{counted(len(peers), 'peer')}{oldest}"


def _age(peer: Peer) -> str:
    return "never heard" if peer.age is None else f"for {span(peer.age)}"
