"""Plain WireGuard: every host knows every other, and the inventory is all that says so."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.mesh import Member, Mesh
from stackctl.schema.problem import Problem

FOLDER = "/etc/wireguard"
USE = f"{FOLDER}/stackctl.key"
"""Link to the private key that is in use."""
MARK = 0x100
"""What WireGuard's own packets carry, so that they follow the uplink that is active."""
OVERHEAD = 80
"""Bytes that WireGuard adds to a packet, over IPv6 at the most."""
LEAST, LARGEST = 1280, 1420
"""Sizes of packets within the mesh, in bytes: IPv6 needs the least one."""


@dataclass(frozen=True)
class Peer:
    """Another host as this one knows it."""

    name: str
    number: int
    """Of its key."""
    address: IPv4Address
    allowed: tuple[IPv4Network, ...]
    """What it may send, and is sent; the most specific network of all peers counts."""
    endpoints: tuple[str, ...]
    """Where it is dialled, `ADDRESS:PORT`, the preferred one first; none: it dials."""
    keepalive: int | None
    """Seconds between packets that keep a NAT open; None: there is none between the two."""


@dataclass(frozen=True)
class Route:
    """A network that is reached through the mesh."""

    network: IPv4Network
    mtu: int | None = None
    """Largest packet, where the way there takes less than the interface."""


@dataclass(frozen=True)
class WireguardSpec:
    """The interface of one host, all but its keys."""

    host: str
    device: str
    address: IPv4Address
    port: int
    mtu: int
    number: int
    """Of the host's own key."""
    peers: tuple[Peer, ...]
    """In name order; the host itself is none of them."""
    routes: tuple[Route, ...]
    forwards: bool
    """Whether it passes on packets that are not its own."""
    implementation: Literal["auto", "kernel", "userspace"]
    preshared: SecretRef | None
    epoch: int


def members(fleet: Fleet) -> Iterator[tuple[str, Host, Member]]:
    """All hosts in the mesh, in name order."""
    for name, host in sorted(fleet.hosts.items()):
        if fleet.network.mesh is not None and host.mesh is not None:
            yield name, host, host.mesh


def resolve(fleet: Fleet, host: str) -> WireguardSpec:
    """The mesh as `host` sees it, which has a place in it."""
    mesh, own = fleet.network.mesh, fleet.hosts[host].mesh
    assert mesh is not None  # noqa: S101 - asked by the caller
    assert own is not None  # noqa: S101
    peers = tuple(_peers(fleet, mesh, host, own))
    mtu = mtu_of(fleet.hosts[host])
    return WireguardSpec(
        host=host,
        device=mesh.device,
        address=own.address,
        port=mesh.port,
        mtu=mtu,
        number=own.key,
        peers=peers,
        routes=tuple(_routes(fleet, mesh, host, mtu)),
        forwards=own.hub or bool(own.routes),
        implementation=mesh.implementation,
        preshared=None if mesh.preshared is None else fleet.secrets[mesh.preshared],
        epoch=mesh.preshared_epoch,
    )


def templates(spec: WireguardSpec) -> tuple[FileTemplate, ...]:
    """The interface with a mark in place of each key."""
    values = {"spec": spec, "mark": MARK, "use": USE}
    return (FileTemplate(config_file(spec.device), "mesh/wireguard.conf.j2", values, mode=0o600),)


def config_file(device: str) -> str:
    """Where the interface is described on a host."""
    return f"{FOLDER}/{device}.conf"


def mtu_of(host: Host) -> int:
    """Largest packet within the mesh that leaves by any uplink whole: traffic moves between them."""
    uplinks = host.wan.uplinks if host.wan is not None else ()
    least = min((uplink.mtu for uplink in uplinks), default=1500) - OVERHEAD
    return max(LEAST, min(least, LARGEST))


def direct(one: Member, other: Member) -> bool:
    """Whether two hosts can dial each other, one at least the other."""
    return one.near(other) or not (one.nat and other.nat)


def hub_of(fleet: Fleet, host: str) -> str | None:
    """The hub through which a host behind a NAT reaches others behind NATs; the first one by name."""
    return next((name for name, _, other in members(fleet) if other.hub and name != host), None)


def _peers(fleet: Fleet, mesh: Mesh, host: str, own: Member) -> Iterator[Peer]:
    others = [(name, each, other) for name, each, other in members(fleet) if name != host]
    beyond = [other for _, _, other in others if not direct(own, other)]
    hub = hub_of(fleet, host) if beyond else None
    passed = (mesh.subnet, *(network for other in beyond for network in other.routes))
    for name, each, other in others:
        if direct(own, other):
            near = own.near(other)
            yield Peer(
                name,
                other.key,
                other.address,
                (IPv4Network(other.address), *other.routes, *(passed if name == hub else ())),
                tuple(f"{place}:{mesh.port}" for place in _places(each, other, near=near)),
                mesh.keepalive if own.nat and not near else None,
            )


def _places(host: Host, other: Member, *, near: bool) -> tuple[object, ...]:
    if near:
        return (host.address,)
    return () if other.nat else other.endpoints or (host.address,)


def _routes(fleet: Fleet, mesh: Mesh, host: str, mtu: int) -> Iterator[Route]:
    """A network of its own for whoever takes less; of the two sizes of a connection TCP takes the lesser, UDP cannot."""
    yield Route(mesh.subnet)
    for name, each, other in members(fleet):
        least = mtu_of(each) if mtu_of(each) < mtu else None
        if name != host and least is not None:
            yield Route(IPv4Network(other.address), least)
        if name != host:
            yield from (Route(network, least) for network in other.routes)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The tunnel's own port, for the world where the host can be dialled; within the mesh hosts speak of new keys."""
    mesh, own = fleet.network.mesh, fleet.hosts[host].mesh
    if mesh is None or own is None:
        return ()
    keys = Opening(mesh.port + 1, "udp", "fleet", "hosts that say they know a new key")
    return (keys,) if own.nat else (Opening(mesh.port, "udp", "world", "mesh"), keys)


def check(fleet: Fleet) -> Iterator[Problem]:  # noqa: ARG001
    """What stands in the way of this backend."""
    return iter(())
