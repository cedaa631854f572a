"""The mesh by nebula: who a host is stands in its certificate, where the others are it asks the hubs.

What a host is told names the hubs alone: a host that comes or goes changes nothing on the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from stackctl.core.artifact import FileTemplate
from stackctl.core.secret import SecretRef
from stackctl.mesh.certificate import Certificate, certificates, pem
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.mesh import Member, Mesh, Nebula
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key
from stackctl.schema.wording import similar

PACKAGES = ("nebula",)
UNIT = "stackctl-nebula.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
FOLDER = "/etc/nebula/stackctl"
DEVICE_FILE = f"{FOLDER}/device.yml"
"""What counts from a start on."""
PEERS_FILE = f"{FOLDER}/peers.yml"
"""What counts from a reload on, without a tunnel lost."""
AUTHORITY_FILE = f"{FOLDER}/ca.crt"
CERTIFICATE_FILE = f"{FOLDER}/host.crt"

_JUDGE = """[ -s "$1" ] && [ -s "$2" ] || exit 0
d=$(mktemp -d) && trap 'rm -rf -- "$d"' EXIT && cp -- "$1" "$d/1.yml" && cp -- "$2" "$d/2.yml" || exit 1
out=$(nebula -test -config "$d" 2>&1) || { printf '%s\\n' "$out" | tail -n 3; exit 1; }
"""
CHECK = ("sh", "-c", _JUDGE, "sh", DEVICE_FILE, PEERS_FILE)
"""Judges both files of settings, whichever of them is new, once the certificates that they name are there."""

_OVERHEAD = 60 + 32
"""Bytes that nebula puts around a packet over IPv4, and those that a hub between two hosts takes besides."""
_LARGEST, _SMALLEST = 1500 - _OVERHEAD, 1280
_LACKING = {"ubuntu-22.04": "ubuntu-24.04"}
"""Systems that do not package nebula, and the next that does."""


@dataclass(frozen=True)
class Hub:
    """A host that all others ask for each other, and that passes on what two of them cannot say directly."""

    name: str
    address: str
    endpoints: tuple[str, ...]
    """`198.51.100.7:51820`, the preferred first."""


@dataclass(frozen=True)
class Route:
    """A network behind another host."""

    network: str
    via: str


@dataclass(frozen=True)
class NebulaSpec:
    """One host of a mesh by nebula."""

    host: str
    address: str
    """With the mesh's width: `10.77.0.11/24`."""
    groups: tuple[str, ...]
    subnets: tuple[str, ...]
    """Networks behind it, which its certificate has to name."""
    authority: str
    """Certificates that are trusted; the first signs."""
    signing_key: SecretRef
    days: int
    key: int
    """Number of the host's own key."""
    device: str
    port: int
    mtu: int
    hub: bool
    nat: bool
    advertised: tuple[str, ...]
    """Endpoints that the hubs are told of, besides those that they see."""
    hubs: tuple[Hub, ...]
    """Without this host itself."""
    routes: tuple[Route, ...]

    @property
    def key_file(self) -> str:
        """Its private key, which is born there and stays there."""
        return f"{FOLDER}/host-{self.key}.key"

    @property
    def public_file(self) -> str:
        """The public half of it."""
        return f"{FOLDER}/host-{self.key}.pub"

    @property
    def signer(self) -> Certificate:
        """The authority that signs."""
        return certificates(self.authority)[0]


def spec(fleet: Fleet, host: str) -> NebulaSpec:
    """The mesh as one of its hosts has to know it."""
    mesh, wanted, member = _parts(fleet, host)
    settings = _settings(mesh)
    return NebulaSpec(
        host=host,
        address=f"{member.address}/{mesh.subnet.prefixlen}",
        groups=_groups(wanted),
        subnets=tuple(str(network) for network in sorted(member.routes)),
        authority=pem(settings.authority),
        signing_key=fleet.secrets[settings.key],
        days=settings.days,
        key=member.key,
        device=mesh.device,
        port=mesh.port,
        mtu=_mtu(fleet),
        hub=member.hub,
        nat=member.nat,
        advertised=tuple(
            f"{endpoint}:{mesh.port}" for endpoint in member.endpoints if isinstance(endpoint, IPv4Address)
        ),
        hubs=tuple(_hub(fleet, name, mesh) for name in _hubs(fleet) if name != host),
        routes=tuple(_routes(fleet, host)),
    )


def templates(wanted: NebulaSpec) -> tuple[FileTemplate, ...]:
    """The authority's certificate, both halves of the settings, and the unit; the host's certificate is made later."""
    return (
        FileTemplate(AUTHORITY_FILE, "mesh/nebula/ca.crt.j2", {"authority": wanted.authority}),
        FileTemplate(DEVICE_FILE, "mesh/nebula/device.yml.j2", {"spec": wanted}),
        FileTemplate(
            PEERS_FILE,
            "mesh/nebula/peers.yml.j2",
            {"spec": wanted, "authority": AUTHORITY_FILE, "certificate": CERTIFICATE_FILE},
        ),
        FileTemplate(UNIT_FILE, "mesh/nebula/unit.service.j2", {"spec": wanted, "folder": FOLDER}),
    )


def check(fleet: Fleet) -> Iterator[Problem]:
    """What a fleet with this backend shows to be wrong; nothing of one with another."""
    mesh = fleet.network.mesh
    if mesh is None or mesh.backend != "nebula" or mesh.nebula is None:
        return
    yield from _secret(fleet, mesh.nebula)
    yield from _systems(fleet)
    yield from _meeting(fleet)
    try:
        found = certificates(mesh.nebula.authority)
    except ValueError as error:
        hint = "write the whole text of the authority's `ca.crt` as a block: `authority: |`, then its lines indented"
        yield Problem.at(*_SETTINGS, "authority", what=str(error), hint=hint)
        return
    yield from _authorities(found)
    for name in _members(fleet):
        yield from _allowed(fleet, name, found[0])


_SETTINGS: Key = ("network", "mesh", "nebula")


def _parts(fleet: Fleet, host: str) -> tuple[Mesh, Host, Member]:
    mesh, wanted = fleet.network.mesh, fleet.hosts[host]
    if mesh is None or wanted.mesh is None:
        raise ValueError(host)
    return mesh, wanted, wanted.mesh


def _settings(mesh: Mesh) -> Nebula:
    if mesh.nebula is None:
        raise ValueError(mesh.backend)
    return mesh.nebula


def _members(fleet: Fleet) -> tuple[str, ...]:
    return tuple(sorted(name for name, host in fleet.hosts.items() if host.mesh is not None))


def _hubs(fleet: Fleet) -> tuple[str, ...]:
    return tuple(name for name in _members(fleet) if _parts(fleet, name)[2].hub)


def _hub(fleet: Fleet, name: str, mesh: Mesh) -> Hub:
    _, wanted, member = _parts(fleet, name)
    endpoints = member.endpoints or (wanted.address,)
    return Hub(name, str(member.address), tuple(f"{endpoint}:{mesh.port}" for endpoint in endpoints))


def _groups(host: Host) -> tuple[str, ...]:
    return tuple(sorted({*host.roles, *(host.mesh.groups if host.mesh is not None else ())}))


def _routes(fleet: Fleet, host: str) -> Iterator[Route]:
    for name in _members(fleet):
        member = _parts(fleet, name)[2]
        if name != host:
            yield from (Route(str(network), str(member.address)) for network in sorted(member.routes))


def _mtu(fleet: Fleet) -> int:
    """One for all hosts, from the worst uplink of any: packets pass hubs, and uplinks change."""
    uplinks = [uplink.mtu for host in fleet.hosts.values() if host.wan for uplink in host.wan.uplinks]
    return max(_SMALLEST, min([_LARGEST, *(mtu - _OVERHEAD for mtu in uplinks)]))


def _secret(fleet: Fleet, settings: Nebula) -> Iterator[Problem]:
    if settings.key not in fleet.secrets:
        what = f"`{settings.key}` is not one of this environment's `secrets`"
        hint = similar(settings.key, fleet.secrets, f"write `secrets: {{{settings.key}: file:ca.key}}`")
        yield Problem((*_SETTINGS, "key"), what, hint)


def _systems(fleet: Fleet) -> Iterator[Problem]:
    for name in _members(fleet):
        system = fleet.hosts[name].os
        if system in _LACKING:
            what = f"is {system}, which has no package `nebula`"
            hint = f"install {_LACKING[system]} or Debian, or write `network.mesh.backend: wireguard`"
            yield Problem.at("hosts", name, "os", what=what, hint=hint)


def _meeting(fleet: Fleet) -> Iterator[Problem]:
    """All find each other by asking a hub, so that there has to be one that can be asked."""
    members, hubs = _members(fleet), _hubs(fleet)
    if len(members) > 1 and not hubs:
        what = "has no hub, which hosts with the backend `nebula` ask for each other"
        hint = f"write `hosts.{members[0]}.mesh.hub: true`, or for another host that all others reach"
        yield Problem.at("network", "mesh", what=what, hint=hint)
    hidden = [name for name in hubs if _parts(fleet, name)[2].nat]
    if hidden and hidden == list(hubs):
        for name in hidden:
            what = "is true of the only hub" if len(hidden) == 1 else "is true of every hub"
            hint = "make a hub of a host that all others reach, or forward the mesh's UDP port to it and write `nat: false`"
            yield Problem.at(
                "hosts", name, "mesh", "nat", what=f"{what}, so that nobody reaches one", hint=hint
            )


def _authorities(found: tuple[Certificate, ...]) -> Iterator[Problem]:
    for certificate in found:
        if not certificate.authority:
            what = f"holds the certificate of `{certificate.name}`, which is no authority"
            hint = "write the text of `ca.crt`, as `nebula-cert ca` made it"
            yield Problem.at(*_SETTINGS, "authority", what=what, hint=hint)
        elif certificate.curve:
            what = f"`{certificate.name}` is of the curve P256, which not all systems' nebula knows"
            hint = "make the authority with `nebula-cert ca` and no `-curve`"
            yield Problem.at(*_SETTINGS, "authority", what=what, hint=hint)


def _allowed(fleet: Fleet, name: str, signer: Certificate) -> Iterator[Problem]:
    """What the authority would not sign for a host."""
    mesh, wanted, member = _parts(fleet, name)
    own = IPv4Interface((member.address, mesh.subnet.prefixlen))
    if signer.addresses and not any(own.network.subnet_of(limit.network) for limit in signer.addresses):
        limits = ", ".join(str(limit.network) for limit in signer.addresses)
        what = f"is {member.address} in {mesh.subnet}, and the authority `{signer.name}` signs for {limits}"
        hint = "choose `network.mesh.subnet` within that, or make an authority with other `-ips`"
        yield Problem.at("hosts", name, "mesh", "address", what=what, hint=hint)
    for network in member.routes:
        if signer.subnets and not any(network.subnet_of(limit) for limit in signer.subnets):
            limits = ", ".join(map(str, signer.subnets))
            what = f"names {network}, and the authority `{signer.name}` signs for {limits}"
            hint = "leave it out, or make an authority with other `-subnets`"
            yield Problem.at("hosts", name, "mesh", "routes", what=what, hint=hint)
    beyond = [group for group in _groups(wanted) if signer.groups and group not in signer.groups]
    if beyond:
        what = f"`{beyond[0]}` is none of the groups that the authority `{signer.name}` signs for"
        setting = ("mesh", "groups") if beyond[0] in member.groups else ("roles",)
        hint = f"it signs for {', '.join(signer.groups)}; make an authority with other `-groups`"
        yield Problem(("hosts", name, *setting), what, hint)
