"""The mesh by nebula: who a host is stands in its certificate, where the others are it asks the hubs.

What a host is told names the hubs alone: a host that comes or goes changes nothing on the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.mesh.certificate import Certificate, UnfitError, certificates, pem
from stackctl.mesh.members import dialled, members
from stackctl.mesh.wireguard import forwarding
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

_JUDGE = """d=$(mktemp -d) && trap 'rm -rf -- "$d"' EXIT || exit 1
n=0
for f; do n=$((n + 1)); [ ! -s "$f" ] || cp -- "$f" "$d/$n.yml" || exit 1; done
out=$(nebula -test -config "$d" 2>&1) || { printf '%s\\n' "$out" | grep -v level=info | tail -n 3; exit 1; }
"""
CHECK = ("sh", "-c", _JUDGE, "sh", DEVICE_FILE, PEERS_FILE)
"""Judges both files of settings, whichever of them is new; the certificates that they name must be there by then."""

OVERHEAD = 60 + 32
"""Bytes that nebula puts around a packet over IPv4, and those that a hub between two hosts takes besides."""
LEAST = 1280
"""Smallest size of packets within the mesh, in bytes, which IPv6 needs."""
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
    revoked: tuple[str, ...]
    """Fingerprints of certificates that are not trusted, whoever signed them."""
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


def resolve(fleet: Fleet, host: str) -> NebulaSpec:
    """The mesh as `host` has to know it, which has a place in it."""
    mesh, wanted = fleet.network.mesh, fleet.hosts[host]
    assert mesh is not None  # noqa: S101 - asked by the caller
    assert mesh.nebula is not None  # noqa: S101 - the schema wants it with this backend
    assert wanted.mesh is not None  # noqa: S101
    member, settings = wanted.mesh, mesh.nebula
    others = [each for each in members(fleet) if each[0] != host]
    return NebulaSpec(
        host=host,
        address=f"{member.address}/{mesh.subnet.prefixlen}",
        groups=_groups(wanted, member),
        subnets=tuple(str(network) for network in sorted(member.routes)),
        authority=pem(settings.authority),
        signing_key=fleet.secrets[settings.key],
        days=settings.days,
        revoked=tuple(sorted(settings.revoked)),
        key=member.key,
        device=mesh.device,
        port=mesh.port,
        mtu=_mtu(wanted),
        hub=member.hub,
        nat=member.nat,
        advertised=tuple(
            f"{endpoint}:{mesh.port}" for endpoint in member.endpoints if isinstance(endpoint, IPv4Address)
        ),
        hubs=tuple(_hubs(others, mesh, member)),
        routes=tuple(_routes(others)),
    )


def templates(wanted: NebulaSpec) -> tuple[FileTemplate, ...]:
    """The authority's certificate, both halves of the settings, and the unit; the host's certificate is made later."""
    files = (
        FileTemplate(AUTHORITY_FILE, "mesh/nebula/ca.crt.j2", {"authority": wanted.authority}),
        FileTemplate(DEVICE_FILE, "mesh/nebula/device.yml.j2", {"spec": wanted}),
        FileTemplate(
            PEERS_FILE,
            "mesh/nebula/peers.yml.j2",
            {"spec": wanted, "authority": AUTHORITY_FILE, "certificate": CERTIFICATE_FILE},
        ),
        FileTemplate(UNIT_FILE, "mesh/nebula/unit.service.j2", {"spec": wanted, "folder": FOLDER}),
    )
    return (*files, *forwarding()) if wanted.subnets else files


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The port at which others reach it, unless they do not from outside."""
    return dialled(fleet, host)


def check(fleet: Fleet) -> Iterator[Problem]:
    """What a fleet with this backend shows to be wrong."""
    mesh = fleet.network.mesh
    if mesh is None or mesh.nebula is None:
        return
    yield from _secret(fleet, mesh.nebula)
    yield from _systems(fleet)
    yield from _meeting(fleet)
    try:
        found = certificates(mesh.nebula.authority)
    except UnfitError as error:
        yield Problem.at(*_SETTINGS, "authority", what=str(error), hint=error.hint)
        return
    yield from _authorities(found)
    for name, host, member in members(fleet) if found[0].authority else ():
        yield from _allowed(mesh, name, found[0], host, member)


_SETTINGS: Key = ("network", "mesh", "nebula")
_Other = tuple[str, Host, Member]
"""Another host in the mesh, with its name."""


def _hubs(others: Sequence[_Other], mesh: Mesh, own: Member) -> Iterator[Hub]:
    for name, other, member in others:
        if _asks(own, member):
            near = (other.address,) if own.near(member) else ()
            outside = () if member.nat else member.endpoints or (other.address,)
            places = dict.fromkeys(f"{place}:{mesh.port}" for place in (*near, *outside))
            yield Hub(name, str(member.address), tuple(places))


def _asks(own: Member, other: Member) -> bool:
    """Whether a host can ask another for all others."""
    return other.hub and (own.near(other) or not other.nat)


def _groups(host: Host, member: Member) -> tuple[str, ...]:
    return tuple(sorted({*host.roles, *member.groups}))


def _routes(others: Sequence[_Other]) -> Iterator[Route]:
    for _, _, member in others:
        yield from (Route(str(network), str(member.address)) for network in sorted(member.routes))


def _mtu(host: Host) -> int:
    """Largest packet that leaves by any uplink whole; what two hosts send each other keeps to the lesser of both."""
    uplinks = host.wan.uplinks if host.wan is not None else ()
    return max(LEAST, min((uplink.mtu for uplink in uplinks), default=1500) - OVERHEAD)


def _secret(fleet: Fleet, settings: Nebula) -> Iterator[Problem]:
    if settings.key not in fleet.secrets:
        what = f"`{settings.key}` is not one of this environment's `secrets`"
        hint = similar(settings.key, fleet.secrets, f"write `secrets: {{{settings.key}: file:ca.key}}`")
        yield Problem((*_SETTINGS, "key"), what, hint)


def _systems(fleet: Fleet) -> Iterator[Problem]:
    for name, host, _ in members(fleet):
        system = host.os
        if system in _LACKING:
            what = f"is {system}, which has no package `nebula`"
            hint = f"install {_LACKING[system]} or Debian, or write `network.mesh.backend: wireguard`"
            yield Problem.at("hosts", name, "os", what=what, hint=hint)


def _meeting(fleet: Fleet) -> Iterator[Problem]:
    """All find each other by asking a hub, so that there has to be one that each can ask."""
    found = [(name, member) for name, _, member in members(fleet)]
    hubs = [(name, member) for name, member in found if member.hub]
    if len(found) > 1 and not hubs:
        what = "has no hub, which hosts ask for each other with the backend `nebula`"
        hint = f"write `hosts.{found[0][0]}.mesh.hub: true`, or for another host that all others reach"
        yield Problem.at("network", "mesh", what=what, hint=hint)
        return
    lost = [name for name, own in found if not own.hub and not any(_asks(own, hub) for _, hub in hubs)]
    if lost:
        who = lost[0] if len(lost) == 1 else f"{len(lost)} hosts, as {lost[0]},"
        what = f"is true of a hub, and {who} can ask no other"
        hint = "make a hub of a host that all others reach, or let the mesh's UDP port through to this one and write `nat: false`"
        yield Problem.at("hosts", hubs[0][0], "mesh", "nat", what=what, hint=hint)


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


def _allowed(mesh: Mesh, name: str, signer: Certificate, host: Host, member: Member) -> Iterator[Problem]:
    """What the authority would not sign for a host."""
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
    beyond = [group for group in _groups(host, member) if signer.groups and group not in signer.groups]
    if beyond:
        what = f"`{beyond[0]}` is none of the groups that the authority `{signer.name}` signs for"
        setting = ("mesh", "groups") if beyond[0] in member.groups else ("roles",)
        hint = f"it signs for {', '.join(signer.groups)}; make an authority with other `-groups`"
        yield Problem(("hosts", name, *setting), what, hint)
