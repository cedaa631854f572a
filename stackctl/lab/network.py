"""The lab's wiring: a LAN, two ISP routers, an internet behind them, and every host on all three."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

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
    alias: str | None = None
    """What the kernel keeps beside the name, for us to read again."""

    @property
    def hardware(self) -> str:
        """Hardware address of a virtual machine's interface: no two of a lab have the same."""
        return ":".join(f"{octet:02x}" for octet in (0x52, 0x54, 0x00, *self.addresses[0].ip.packed[1:]))


@dataclass(frozen=True)
class Wiring:
    """The whole network as data."""

    bridges: tuple[End, ...]
    cables: tuple[tuple[End, End], ...]
    routers: tuple[str, ...] = field(default=())
    taps: tuple[End, ...] = field(default=())
    """Where virtual machines are plugged in."""


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
    taps: list[End] = []
    for host in spec.hosts:
        ends = interfaces(spec, host)
        if spec.kind == "vm":
            bridges += [End(end.namespace, bridge(end.name)) for end in ends]
            taps += [End(end.namespace, tap(end.name), bridge=bridge(end.name)) for end in ends]
            ends = tuple(
                End(end.namespace, end.name, bridge=bridge(end.name), alias=str(end.addresses[0].ip))
                for end in ends
            )
        cables += zip(ends, _ports(spec, host), strict=True)
    return Wiring(tuple(bridges), tuple(cables), tuple(isps.values()), tuple(taps))


def interfaces(spec: LabSpec, host: LabHost) -> tuple[End, ...]:
    """The network as a host itself sees it: the LAN and both ISPs."""
    here = spec.host_namespace(host.name)
    uplinks = (End(here, f"wan{isp}", (host.wan(isp),), gateway=(_first(isp).ip, 100 * isp)) for isp in ISPS)
    return (End(here, "eth0", (host.lan,)), *uplinks)


def bridge(interface: str) -> str:
    """Joins the cable of a virtual machine's interface to its tap, in the host's namespace."""
    return f"br-{interface}"


def tap(interface: str) -> str:
    """The device by which a virtual machine's interface is plugged in, in the host's namespace."""
    return f"vm-{interface}"


def _ports(spec: LabSpec, host: LabHost) -> tuple[End, ...]:
    """Where the cables of a host end, in the order of its interfaces."""
    port = f"host{host.number}"
    uplinks = (End(spec.namespace(f"isp{isp}"), port, bridge="wan") for isp in ISPS)
    return (End(spec.namespace("lan"), port, bridge="lan"), *uplinks)


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
    for end in wanted.taps:
        if end.name not in existing.get(end.namespace, ()):
            script.setdefault(end.namespace, []).append(f"tuntap add dev {end.name} mode tap")
    return script


def settings(wanted: Wiring) -> dict[str, list[str]]:
    """Lines for `ip -batch`, by namespace, that plug in, address and raise every interface."""
    ends = [*wanted.bridges, *(end for cable in wanted.cables for end in cable), *wanted.taps]
    script: dict[str, list[str]] = {end.namespace: ["link set lo up"] for end in ends}
    for end in ends:
        master = f" master {end.bridge}" if end.bridge else ""
        lines = [f"link set {end.name}{master} up"]
        lines += [f"addr replace {address} dev {end.name}" for address in end.addresses]
        if end.alias:
            lines.append(f"link set {end.name} alias {end.alias}")
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
    # without its details `ip` says nothing of an alias beside addresses
    listed = json.loads(run(["ip", "-n", namespace, "-details", "-j", "addr"]))
    mine: dict[str, Any] = next((link for link in listed if link.get("ifname") == "eth0"), {})
    addresses = (str(each["local"]) for each in mine.get("addr_info", ()) if each["family"] == "inet")
    return next(addresses, mine.get("ifalias"))


def _links(namespace: str) -> frozenset[str]:
    return frozenset(link["ifname"] for link in json.loads(run(["ip", "-n", namespace, "-j", "link"])))
