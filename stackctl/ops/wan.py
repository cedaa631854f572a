"""Uplinks on a host: refused where they are not there, marked, and taken away without a trace."""

import hashlib
import json
import shlex
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Interface, IPv4Network, ip_address
from itertools import combinations, product
from typing import Any

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.capabilities import wan
from stackctl.capabilities.wan import UplinkSpec
from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.ops import networkd
from stackctl.ops.filestate import Files
from stackctl.ops.step import Guard, Step, changes
from stackctl.ops.trace import saw
from stackctl.ops.unitstate import Unit
from stackctl.ops.ways import Interface, Network, Ways
from stackctl.ops.wording import some

WANTS = f"/etc/systemd/system/multi-user.target.wants/{wan.UNIT}"
"""What starts the agent at boot."""

NETWORKD = "systemd-networkd.service"
RESOLVED = "systemd-resolved.service"

_PROTOCOL = 201
"""By which the agent's rules and routes are told from others'."""
_TABLES = range(200, 209)

_FLUSH = f"""for f in -4 -6; do
  ip $f rule flush protocol {_PROTOCOL}
  for t in {" ".join(map(str, _TABLES))}; do ip $f route flush table $t; done
done 2>/dev/null
nft delete table inet {wan.TABLE} 2>/dev/null
true
"""


def guard(artifacts: Sequence[Artifact]) -> Guard:
    """All that is done to the uplinks as one change; where the agent was not there before, none is left."""
    paths = dict.fromkeys((*(item.path for item in artifacts), *_OWN))
    unit, name = shlex.quote(wan.UNIT_FILE), shlex.quote(wan.UNIT)
    return Guard(
        "wan",
        tuple(paths),
        (
            "systemctl daemon-reload",
            f"find {networkd.FOLDER} -name {networkd.NAME} -xtype l -delete",
            f"systemctl try-restart {NETWORKD} {RESOLVED}",
            f"if [ -e {unit} ]; then systemctl restart {name}; else systemctl stop {name}; {_FLUSH}fi",
        ),
    )


_OWN = (
    wan.MARKS_FILE,
    wan.AGENT_FILE,
    wan.CONFIG_FILE,
    wan.UNIT_FILE,
    wan.NFTABLES_FILE,
    wan.ONLINE_FILE,
    wan.NETWORKD_FILE,
    wan.RESOLVED_FILE,
    WANTS,
)


_NOBODY_TELLS = "install iproute2 on the host, without which nobody can tell"


@operation()
def fits(uplinks: Sequence[UplinkSpec], config: Artifact) -> Generator[Step, None, None]:
    """Refuse a host before anything is changed where an uplink's interface, address or gateway is not there.

    Uplinks that the agent is used to already are left out: one that is down just now keeps nobody from an apply.
    """
    new = [uplink for uplink in uplinks if _way(vars(uplink)) not in _known(uplinks, config)]
    if new:
        seen = host.get_fact(Network)
        findings = [finding for uplink in new for finding in _missing(uplink, seen)]
        findings += _overlapping(uplinks, new, seen)
        findings = findings or list(_others({uplink.interface for uplink in uplinks}, seen))
        if findings:
            raise FindingsError(*findings)
    yield from ()


def _known(uplinks: Sequence[UplinkSpec], config: Artifact) -> set[tuple[Any, ...]]:
    """The uplinks of the configuration that the host has."""
    sha256 = hashlib.sha256(config.content.encode()).hexdigest()
    found = host.get_fact(Files, wanted=[(config.path, sha256)]).get(config.path)
    if found is None:
        return set()
    if found.sha256 == sha256:
        return {_way(vars(uplink)) for uplink in uplinks}
    try:
        return {_way(uplink) for uplink in json.loads(found.content or "{}").get("uplinks", ())}
    except (ValueError, AttributeError):
        return set()


def _way(uplink: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(uplink.get(name) for name in ("interface", "gateway", "address", "gateway6"))


def _missing(uplink: UplinkSpec, seen: Ways) -> Iterator[Finding]:
    where = f"uplink {uplink.name}"
    interface = seen.interfaces.get(uplink.interface)
    if interface is None:
        there = [f"`{name}`" for name in sorted(seen.interfaces) if name != "lo"]
        hint = f"correct `interface`; there are {', '.join(there)}" if there else _NOBODY_TELLS
        yield Finding(where, f"the host has no interface `{uplink.interface}`", hint)
        return
    yield from _gateway(where, uplink, interface, seen)
    if uplink.address is not None and not _has(interface, uplink.address):
        what = f"{uplink.interface} does not have the address {uplink.address}, {_has_what(interface, 4)}"
        yield Finding(where, what, "correct `address`, or give the interface that address")
    if uplink.gateway6 == "auto" and (6, uplink.interface) not in seen.defaults:
        what = f"nothing has brought {uplink.interface} a default route for IPv6"
        yield Finding(where, what, "write the address of its `gateway6`, or leave that out")
    elif uplink.gateway6 not in (None, "auto") and not _reaches(interface, uplink.gateway6):
        what = f"{uplink.interface} has no address by which it reaches {uplink.gateway6}, {_has_what(interface, 6)}"
        yield Finding(where, what, "correct `gateway6`, or give the interface an address in its network")


def _overlapping(uplinks: Sequence[UplinkSpec], new: Sequence[UplinkSpec], seen: Ways) -> Iterator[Finding]:
    """Two routers with one network behind different interfaces, as two of one make bring it by DHCP.

    The kernel would find what is in that network by the first interface alone.
    """
    for first, second in combinations(uplinks, 2):
        if first.interface == second.interface or not (first in new or second in new):
            continue
        pairs = product(_networks(first, seen), _networks(second, seen))
        for one, other in [pair for pair in pairs if pair[0].overlaps(pair[1])][:1]:
            what = f"{other} on {second.interface} overlaps with `{first.name}`'s network, {one} on {first.interface}"
            hint = "give one of the two routers another network for its side of the host"
            yield Finding(f"uplink {second.name}", what, hint)


def _networks(uplink: UplinkSpec, seen: Ways) -> tuple[IPv4Network, ...]:
    """Of the interface, and of more than its own address."""
    held = seen.interfaces.get(uplink.interface, Interface()).addresses
    found = (own.network for own in held if isinstance(own, IPv4Interface) and not own.is_link_local)
    return tuple(dict.fromkeys(network for network in found if network.prefixlen < 32))


def _others(uplinks: Collection[str], seen: Ways) -> Iterator[Finding]:
    """Who comes by an interface that has a default route of its own would be answered by another: that cuts off."""
    for name in sorted({interface for version, interface in seen.defaults if version == 4} - set(uplinks)):
        what = f"{name} has a default route and is none of the uplinks: who comes by it would be answered by one of them"
        hint = "write it as an uplink too, or give it routes to the networks behind it alone"
        yield Finding(f"interface {name}", what, hint)


def _gateway(where: str, uplink: UplinkSpec, interface: Interface, seen: Ways) -> Iterator[Finding]:
    if uplink.gateway == "auto":
        if (4, uplink.interface) not in seen.defaults:
            what = f"nothing has brought {uplink.interface} a default route whose gateway could be taken"
            hint = "write the address of its `gateway`, or set up DHCP or a gateway on the host"
            yield Finding(where, what, hint)
    elif not _reaches(interface, uplink.gateway):
        what = (
            f"{uplink.interface} has no address in the network of {uplink.gateway}, {_has_what(interface, 4)}"
        )
        yield Finding(where, what, "correct `gateway`, or give the interface an address in its network")


def _has(interface: Interface, address: str) -> bool:
    return any(str(own.ip) == address for own in interface.addresses)


def _reaches(interface: Interface, gateway: str) -> bool:
    """A router with an address of the link alone is reached by any interface with IPv6."""
    router = ip_address(gateway)
    if gateway in interface.peers:
        return True
    own = [address for address in interface.addresses if address.version == router.version]
    return bool(own) and (router.is_link_local or any(router in address.network for address in own))


def _has_what(interface: Interface, version: int) -> str:
    own = [str(address) for address in interface.addresses if address.version == version]
    return f"only {some(own)}" if own else "nor any other"


@operation()
def known(
    unit: str, artifacts: Sequence[Artifact], after: Sequence[Any], reason: str, guard: Guard
) -> Generator[Step, None, None]:
    """Have a unit of systemd's own know these files, where it runs; elsewhere they are of no consequence."""
    reads = tuple(artifact.path for artifact in artifacts)
    state = host.get_fact(Unit, unit=unit, files=reads)
    if state.active not in {"active", "reloading"}:
        return
    touched = any([changes(item) for item in after])
    if touched or state.stale(reads, state.started):
        restart = f"systemctl restart {shlex.quote(unit)}"
        yield Step(restart, reason=f"restart {unit}, {reason}", guard=guard)


class Marked(FactBase[bool]):
    """Whether the kernel has the table that marks connections."""

    def command(self) -> str:
        """Asked of the kernel; without nft there is none."""
        return f"nft list table inet {wan.TABLE} >/dev/null 2>&1 && echo yes || true"

    @staticmethod
    def default() -> bool:
        """There is none."""
        return False

    def process(self, output: Iterable[str]) -> bool:
        """One word, or none."""
        return any(line == "yes" for line in output)


@operation()
def marked(after: Sequence[Any], guard: Guard) -> Generator[Step, None, None]:
    """Have connections marked, also after somebody has flushed all of nftables; the unit's start does it too."""
    there = host.get_fact(Marked)
    saw(f"table inet {wan.TABLE}", **({"state": "loaded"} if there else {}))
    if not there and not any([changes(item) for item in after]):
        script = f"nft -f {shlex.quote(wan.MARKS_FILE)}"
        yield Step(script, reason=f"load the table {wan.TABLE}, which is gone", guard=guard)


class Left(FactBase[tuple[str, ...]]):
    """What there is of ours on a host."""

    def command(self, paths: Sequence[str]) -> str:
        """Files, then rules and the table, a line each."""
        listed = " ".join(map(shlex.quote, paths))
        return (
            f'for f in {listed}; do if [ -e "$f" ] || [ -L "$f" ]; then printf \'%s\\n\' "$f"; fi; done\n'
            f"for f in -4 -6; do ip $f rule show 2>/dev/null | grep -q 'proto {_PROTOCOL}$' && echo 'rules'; done | sort -u\n"
            f"nft list table inet {wan.TABLE} >/dev/null 2>&1 && echo 'table {wan.TABLE}'\ntrue"
        )

    @staticmethod
    def default() -> tuple[str, ...]:
        """Nothing."""
        return ()

    def process(self, output: Iterable[str]) -> tuple[str, ...]:
        """As they are told."""
        return tuple(line for line in output if line)


@operation()
def gone(guard: Guard) -> Generator[Step, None, None]:
    """Have nothing of ours look after the uplinks any more: agent, rules, tables and files."""
    paths = (*_OWN, wan.SYSCTL_FILE, wan.METRICS_FILE)
    left = host.get_fact(Left, paths=paths)
    saw("uplinks managed by stackctl", **({"state": "there"} if left else {}))
    if left:
        name, files = shlex.quote(wan.UNIT), " ".join(map(shlex.quote, paths))
        yield Step(
            f"systemctl disable --now {name} 2>/dev/null\n"
            f"rm -f -- {files} {networkd.FOLDER}/*.network.d/{networkd.NAME}\n"
            f"rm -rf -- {wan.RUN_FOLDER} {wan.DROPINS}\n"
            f"systemctl daemon-reload\nsystemctl try-restart {NETWORKD} {RESOLVED}\n{_FLUSH}",
            reason=f"stop the agent, and take away {some(left)}",
            action="remove",
            guard=guard,
        )
