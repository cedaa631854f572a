"""The lab's wiring: a LAN, two ISP routers, an internet behind them, and every host on all three."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface

from stackctl.core.finding import FailureError, Finding
from stackctl.lab import cache, kernel
from stackctl.lab.shell import inside, run
from stackctl.lab.spec import (
    INTERNET,
    ISPS,
    LAN,
    NAMES_ADDRESS,
    OPERATOR_ADDRESS,
    PACKAGES_ADDRESS,
    REGISTRY_ADDRESS,
    LabHost,
    LabSpec,
    isp_on_internet,
    isp_on_lan,
    wan,
)


@dataclass(frozen=True)
class End:
    """One end of a cable: an interface, its addresses, the bridge it is plugged into."""

    namespace: str
    name: str
    addresses: tuple[IPv4Interface, ...] = ()
    bridge: str | None = None
    gateway: tuple[IPv4Address, int] | None = None
    """Default route through this interface and its metric."""


@dataclass(frozen=True)
class Wiring:
    """The whole network as data."""

    bridges: tuple[End, ...]
    cables: tuple[tuple[End, End], ...]
    routers: tuple[str, ...] = field(default=())


def wiring(spec: LabSpec) -> Wiring:
    """The network of a lab."""
    lan, internet = spec.namespace("lan"), spec.namespace("internet")
    services = tuple(
        IPv4Interface(f"{address}/{INTERNET.prefixlen}")
        for address in (PACKAGES_ADDRESS, REGISTRY_ADDRESS, NAMES_ADDRESS)
    )
    isps = {isp: spec.namespace(f"isp{isp}") for isp in ISPS}
    bridges = [End(lan, "lan"), End(internet, "internet", services)]
    bridges += [End(isps[isp], "wan", (_first(isp),)) for isp in ISPS]
    operator = IPv4Interface(f"{OPERATOR_ADDRESS}/{LAN.prefixlen}")
    cables = [(End(spec.namespace("operator"), "eth0", (operator,)), End(lan, "operator", bridge="lan"))]
    for isp in ISPS:
        cables.append((End(isps[isp], "lan", (isp_on_lan(isp),)), End(lan, f"isp{isp}", bridge="lan")))
        uplink = End(isps[isp], "internet", (isp_on_internet(isp),))
        cables.append((uplink, End(internet, f"isp{isp}", bridge="internet")))
    for host in spec.hosts:
        cables += _cables_of(spec, host)
    return Wiring(tuple(bridges), tuple(cables), tuple(isps.values()))


def _cables_of(spec: LabSpec, host: LabHost) -> list[tuple[End, End]]:
    here, port = spec.host_namespace(host.name), f"host{host.number}"
    cables = [(End(here, "eth0", (host.lan,)), End(spec.namespace("lan"), port, bridge="lan"))]
    cables += [
        (
            End(here, f"wan{isp}", (host.wan(isp),), gateway=(_first(isp).ip, 100 * isp)),
            End(spec.namespace(f"isp{isp}"), port, bridge="wan"),
        )
        for isp in ISPS
    ]
    return cables


def _first(isp: int) -> IPv4Interface:
    return IPv4Interface(f"{wan(isp)[1]}/{wan(isp).prefixlen}")


def scripts(wanted: Wiring, existing: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    """Lines for `ip -batch`, by namespace, that make what is missing and set all addresses and routes.

    Cables come before everything else, as a cable's far end is set up in another namespace's script.
    """
    script: dict[str, list[str]] = {}
    for bridge in wanted.bridges:
        if bridge.name not in existing.get(bridge.namespace, ()):
            script.setdefault(bridge.namespace, []).append(f"link add {bridge.name} type bridge")
    for near, far in wanted.cables:
        if near.name not in existing.get(near.namespace, ()):
            script.setdefault(near.namespace, []).append(
                f"link add {near.name} type veth peer name {far.name} netns {far.namespace}"
            )
    return script


def settings(wanted: Wiring) -> dict[str, list[str]]:
    """Lines for `ip -batch`, by namespace, that plug in, address and raise every interface."""
    ends = [*wanted.bridges, *(end for cable in wanted.cables for end in cable)]
    script: dict[str, list[str]] = {end.namespace: ["link set lo up"] for end in ends}
    for end in ends:
        master = f" master {end.bridge}" if end.bridge else ""
        lines = [f"link set {end.name}{master} up"]
        lines += [f"addr replace {address} dev {end.name}" for address in end.addresses]
        if end.gateway:
            via, metric = end.gateway
            lines.append(f"route replace default via {via} dev {end.name} metric {metric}")
        script[end.namespace] += lines
    return script


_TRANSLATION = """\
add table ip stackctl
flush table ip stackctl
table ip stackctl {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "internet" masquerade
  }
}
"""


def strangers(spec: LabSpec, seen: Mapping[str, str | None]) -> list[Finding]:
    """Hosts that the lab has, by their addresses as far as they got one, and the inventory now has not."""
    wanted = {host.name: str(host.address) for host in spec.hosts}
    where, hint = f"lab {spec.name}", f"run `stackctl lab down {spec.name}` first"
    findings = []
    for name, address in sorted(seen.items()):
        if name not in wanted:
            findings.append(Finding(where, f"it has a host `{name}`, which the inventory has not", hint))
        elif address not in (None, wanted[name]):
            what = f"its host `{name}` is at {address}, in the inventory at {wanted[name]}"
            findings.append(Finding(where, what, hint))
    return findings


def raise_network(spec: LabSpec) -> None:
    """Make the network, or what is missing of it; refused while other hosts than the inventory's are in it."""
    prefix = spec.host_namespace("")
    there = [name for name in kernel.namespaces(spec.name) if name.startswith(prefix)]
    if found := strangers(spec, {name.removeprefix(prefix): _address(name) for name in there}):
        raise FailureError(*found)
    with cache.locked("namespaces"):
        for namespace in spec.namespaces:
            _make_namespace(namespace)
    wanted = wiring(spec)
    existing = {namespace: _links(namespace) for namespace in spec.namespaces}
    for script in (scripts(wanted, existing), settings(wanted)):
        for namespace, lines in script.items():
            run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(lines) + "\n")
    for router in wanted.routers:
        run(inside(router, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]))
        run(inside(router, ["nft", "-f", "-"]), stdin=_TRANSLATION)


def remove_namespaces(lab: str) -> None:
    """Remove the lab's namespaces, and with them all interfaces, addresses and rules."""
    with cache.locked("namespaces"):
        for namespace in kernel.namespaces(lab):
            if kernel.is_complete(namespace):
                run(["ip", "netns", "del", namespace])
            else:
                (kernel.NAMESPACES / namespace).unlink()
        _remove_directory_of_namespaces()


def _make_namespace(namespace: str) -> None:
    if kernel.is_complete(namespace):
        return
    (kernel.NAMESPACES / namespace).unlink(missing_ok=True)
    run(["ip", "netns", "add", namespace])


def _remove_directory_of_namespaces() -> None:
    """Remove what the first `ip netns add` makes and mounts on itself, unless another namespace is in it."""
    directory = kernel.NAMESPACES
    if directory.is_dir() and not any(directory.iterdir()):
        while directory.is_mount():
            run(["umount", directory])
        with contextlib.suppress(OSError):
            directory.rmdir()


def _address(namespace: str) -> str | None:
    if not kernel.is_complete(namespace):
        return None
    listed = json.loads(run(["ip", "-n", namespace, "-j", "-4", "addr"]))
    mine = (link["addr_info"] for link in listed if link.get("ifname") == "eth0")
    return next((str(each["local"]) for addresses in mine for each in addresses), None)


def _links(namespace: str) -> frozenset[str]:
    return frozenset(link["ifname"] for link in json.loads(run(["ip", "-n", namespace, "-j", "link"])))
