"""The mesh by Tailscale: its server, or a Headscale of your own, hands out addresses and introduces hosts.

Rendered and checked, and its operations tried against a program that speaks the same command line; neither has
been run against the real service.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.mesh.members import dialled, members
from stackctl.mesh.wireguard import forwarding
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import OperatingSystem
from stackctl.schema.mesh import Tailscale
from stackctl.schema.problem import Problem
from stackctl.schema.wording import similar

PACKAGES = ("tailscale",)
UNIT = "tailscaled.service"
SETTINGS_FILE = "/etc/default/tailscaled"
STATE_FILE = "/var/lib/tailscale/tailscaled.state"
"""What the daemon keeps of its login; with it put back, the login is as it was."""
KEY_FILE = "/run/stackctl/tailscale.key"
"""Holds the key by which a host joins, while it joins."""
OWN_SERVER = "https://controlplane.tailscale.com"
"""Tailscale's, as the program itself names it."""
GIVEN = IPv4Network("100.64.0.0/10")
"""Tailscale's own server gives addresses of this network alone."""

FINGERPRINT = "2596A99EAAB33821893C0A79458CA832957F5868"
"""Of Tailscale's package signing key; the vendor publishes the key, not the fingerprint (seen 2026-11-24)."""
_VENDOR = "https://pkgs.tailscale.com/stable"
_SUITES: dict[OperatingSystem, str] = {
    "debian-12": "debian/bookworm",
    "debian-13": "debian/trixie",
    "ubuntu-22.04": "ubuntu/jammy",
    "ubuntu-24.04": "ubuntu/noble",
}


@dataclass(frozen=True)
class Source:
    """Where the package comes from."""

    url: str
    key: str
    fingerprint: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True)
class TailscaleSpec:
    """One host of a mesh by Tailscale."""

    host: str
    address: str
    """What the server is to have given it."""
    device: str
    port: int
    server: str
    auth_key: SecretRef
    routes: tuple[str, ...]
    """Networks behind it that it offers to the others."""
    accepts: bool
    """Whether others offer any."""
    source: Source


def resolve(fleet: Fleet, host: str) -> TailscaleSpec:
    """The mesh as `host` has to know it, which has a place in it."""
    mesh, wanted = fleet.network.mesh, fleet.hosts[host]
    assert mesh is not None  # noqa: S101 - asked by the caller
    assert mesh.tailscale is not None  # noqa: S101 - the schema wants it with this backend
    assert wanted.mesh is not None  # noqa: S101
    return TailscaleSpec(
        host=host,
        address=str(wanted.mesh.address),
        device=mesh.device,
        port=mesh.port,
        server=mesh.tailscale.login_server or OWN_SERVER,
        auth_key=fleet.secrets[mesh.tailscale.auth_key],
        routes=tuple(str(network) for network in sorted(wanted.mesh.routes)),
        accepts=any(member.routes for name, _, member in members(fleet) if name != host),
        source=_source(mesh.tailscale, wanted.os),
    )


def templates(spec: TailscaleSpec) -> tuple[FileTemplate, ...]:
    """What the daemon is started with."""
    settings = FileTemplate(SETTINGS_FILE, "mesh/tailscaled.j2", {"spec": spec})
    return (settings, *forwarding()) if spec.routes else (settings,)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The port at which others reach it, unless they do not from outside."""
    return dialled(fleet, host)


def check(fleet: Fleet) -> Iterator[Problem]:
    """What a fleet with this backend shows to be wrong."""
    mesh = fleet.network.mesh
    if mesh is None or mesh.tailscale is None:
        return
    settings = mesh.tailscale
    if settings.auth_key not in fleet.secrets:
        what = f"`{settings.auth_key}` is not one of this environment's `secrets`"
        hint = similar(
            settings.auth_key, fleet.secrets, f"write `secrets: {{{settings.auth_key}: env:TS_AUTHKEY}}`"
        )
        yield Problem(("network", "mesh", "tailscale", "auth_key"), what, hint)
    if settings.login_server is None and not mesh.subnet.subnet_of(GIVEN):
        what = f"is {mesh.subnet}, and Tailscale's server gives addresses of {GIVEN} alone"
        hint = f"write a network within that, such as {GIVEN} itself, or the `login_server` of a Headscale"
        yield Problem.at("network", "mesh", "subnet", what=what, hint=hint)
    for name, host, _ in members(fleet):
        if host.wan is not None:
            what = (
                "has uplinks of its own, whose routes come before those that Tailscale keeps in a table apart"
            )
            hint = "leave `wan` out on this host, or write `network.mesh.backend: wireguard`"
            yield Problem.at("hosts", name, "wan", what=what, hint=hint)


def _source(settings: Tailscale, system: OperatingSystem) -> Source:
    folder, _, suite = _SUITES[system].partition("/")
    mirror = settings.repository
    if mirror is not None:
        key = mirror.key or f"{mirror.url}/{suite}.noarmor.gpg"
        return Source(mirror.url, key, mirror.fingerprint or FINGERPRINT, "/", ())
    return Source(
        f"{_VENDOR}/{folder}", f"{_VENDOR}/{folder}/{suite}.noarmor.gpg", FINGERPRINT, suite, ("main",)
    )
