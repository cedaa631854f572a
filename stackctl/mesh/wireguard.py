"""Plain WireGuard: every host knows every other, and the inventory is all that says so."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from ipaddress import IPv4Address, IPv4Network

from stackctl.core.artifact import Artifact, FileTemplate
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.mesh.members import members
from stackctl.mesh.obstacles import check as check  # noqa: PLC0414 - every backend offers one
from stackctl.mesh.ways import direct, hub_of, mtu_of
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.mesh import Member, Mesh

FOLDER = "/etc/wireguard"
USE = f"{FOLDER}/stackctl.key"
"""Link to the private key that is in use."""
PEERS = "/usr/lib/stackctl/wireguard_peers.py"
METRICS = "/usr/lib/stackctl/mesh_metrics.py"
METRICS_UNIT = "/etc/systemd/system/stackctl-mesh.service"
METRICS_TIMER = "/etc/systemd/system/stackctl-mesh.timer"
FORWARD_FILE = "/etc/sysctl.d/61-stackctl-mesh.conf"
FORWARD = {"net.ipv4.ip_forward": "1"}
PACKAGES = ("python3", "wireguard-tools")
MARK = 0x100
"""What WireGuard's own packets carry, so that they follow the uplink that is active."""


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

    @cached_property
    def networks(self) -> str:
        """As the file lists them."""
        return ", ".join(map(str, self.allowed))


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
    preshared: SecretRef | None
    epoch: int


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
        preshared=None if mesh.preshared is None else fleet.secrets[mesh.preshared],
        epoch=mesh.preshared_epoch,
    )


def templates(spec: WireguardSpec) -> tuple[FileTemplate, ...]:
    """The interface with a mark in place of each key."""
    values = {"spec": spec, "mark": MARK, "use": USE}
    files = [
        FileTemplate(config_file(spec.device), "mesh/wireguard.conf.j2", values, mode=0o600),
        _program(PEERS, "wireguard_peers.py"),
        FileTemplate(unit_file(spec.device), "mesh/wireguard.unit.conf.j2", {"program": PEERS}),
        _program(METRICS, "mesh_metrics.py"),
        FileTemplate(METRICS_UNIT, "mesh/metrics.service.j2", {"program": METRICS, "device": spec.device}),
        FileTemplate(METRICS_TIMER, "mesh/metrics.timer.j2", {}),
    ]
    return (*files, *forwarding()) if spec.forwards else tuple(files)


def forwarding() -> tuple[FileTemplate, ...]:
    """What a host needs that passes on packets that are not its own, after a boot too."""
    return (FileTemplate(FORWARD_FILE, "mesh/forward.conf.j2", {"sysctl": FORWARD}),)


def _program(path: str, name: str) -> FileTemplate:
    text = resources.files("stackctl.agents").joinpath(name).read_text("utf-8")
    return FileTemplate(path, "mesh/program.j2", {"text": text}, mode=0o755)


def unit_file(device: str) -> str:
    """What is ours in the unit of the interface."""
    return f"/etc/systemd/system/wg-quick@{device}.service.d/stackctl.conf"


@dataclass(frozen=True)
class Files:
    """Rendered files as the deploy needs them, all but the interface's own."""

    programs: tuple[Artifact, ...]
    """And the kernel's settings."""
    units: tuple[Artifact, ...]


def parted(artifacts: Iterable[Artifact]) -> Files:
    """What systemd reads, and all else."""
    found = tuple(artifacts)
    units = tuple(artifact for artifact in found if artifact.path.startswith("/etc/systemd/"))
    return Files(tuple(artifact for artifact in found if artifact not in units), units)


def config_file(device: str) -> str:
    """Where the interface is described on a host."""
    return f"{FOLDER}/{device}.conf"


def _peers(fleet: Fleet, mesh: Mesh, host: str, own: Member) -> Iterator[Peer]:
    others = [(name, each, other) for name, each, other in members(fleet) if name != host]
    beyond = [other for _, _, other in others if not direct(own, other)]
    hub = hub_of(fleet, host) if beyond else None
    passed = (mesh.subnet, *(network for other in beyond for network in other.routes))
    for name, each, other in others:
        if direct(own, other):
            near = own.near(other)
            keepalive = mesh.keepalive if own.nat and not near else None
            places = _places(each, other, near=near)
            yield _peer(name, other, passed if name == hub else (), places, mesh.port, keepalive)


def _peer(
    name: str,
    other: Member,
    passed: tuple[IPv4Network, ...],
    places: tuple[IPv4Address | str, ...],
    port: int,
    keepalive: int | None,
) -> Peer:
    """Most hosts know another one in the same way: a thousand of them would have a million peers between them."""
    return _same_peer(name, other.key, other.address, (*other.routes, *passed), places, port, keepalive)


@lru_cache(maxsize=10_000)
def _same_peer(
    name: str,
    number: int,
    address: IPv4Address,
    more: tuple[IPv4Network, ...],
    places: tuple[IPv4Address | str, ...],
    port: int,
    keepalive: int | None,
) -> Peer:
    endpoints = tuple(f"{place}:{port}" for place in places)
    return Peer(name, number, address, (IPv4Network(address), *more), endpoints, keepalive)


def _places(host: Host, other: Member, *, near: bool) -> tuple[IPv4Address | str, ...]:
    if near:
        return (host.address,)
    return () if other.nat else other.endpoints or (host.address,)


def _routes(fleet: Fleet, mesh: Mesh, host: str, mtu: int) -> Iterator[Route]:
    """A network of its own for whoever takes less; of the two sizes of a connection TCP takes the lesser, UDP cannot."""
    yield Route(mesh.subnet)
    for name, each, other in members(fleet):
        if name != host:
            least = there if (there := mtu_of(each)) < mtu else None
            networks = (*((IPv4Network(other.address),) if least else ()), *other.routes)
            yield from (Route(network, least) for network in networks)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The tunnel's own port, behind a NAT for those at its site alone; within the mesh hosts speak of new keys."""
    mesh, own = fleet.network.mesh, fleet.hosts[host].mesh
    if mesh is None or own is None:
        return ()
    keys = Opening(mesh.port + 1, "udp", "fleet", "hosts that say they know a new key")
    near = any(own.near(other) for name, _, other in members(fleet) if name != host)
    tunnel = Opening(mesh.port, "udp", "site" if own.nat else "world", "mesh")
    return (tunnel, keys) if near or not own.nat else (keys,)
