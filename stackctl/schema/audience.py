"""Whom a port is meant for, as addresses that a host sees them come from."""

from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from stackctl.core.opening import Audience
from stackctl.core.rule import Source
from stackctl.schema.firewall import PLACES, Firewall
from stackctl.schema.fleet import Fleet
from stackctl.schema.mesh import Member


def member(fleet: Fleet, host: str) -> Member | None:
    """A host's place in the mesh; None where it has none, or there is no mesh."""
    return fleet.hosts[host].mesh if fleet.network.mesh is not None else None


def device(fleet: Fleet, host: str) -> str | None:
    """The network interface by which the mesh comes in; None for a host that is not in it."""
    mesh = fleet.network.mesh
    return mesh.device if mesh is not None and member(fleet, host) is not None else None


def sources(fleet: Fleet, host: str, firewall: Firewall, audience: Audience) -> tuple[Source, ...]:
    """Addresses of an audience of one host's, the host itself left out; none for `world`."""
    match audience:
        case "gateways":
            found = _hosts(fleet, host, fleet.with_role("gateway"))
        case "fleet":
            found = _hosts(fleet, host, fleet.hosts)
        case "site":
            found = _site(fleet, host)
        case "clients":
            found = [*_around(fleet, host), *_named("clients", firewall.clients), *_management(firewall)]
        case "management":
            found = [*_mesh(fleet, host), *_management(firewall)]
        case "world":
            found = []
    return tuple(dict.fromkeys(found))


def logins(fleet: Fleet, host: str, firewall: Firewall) -> tuple[Source, ...]:
    """Addresses that may log in."""
    mesh = tuple(_mesh(fleet, host))
    return mesh if firewall.ssh == "mesh" else (*mesh, *_management(firewall))


def origin(fleet: Fleet, host: str, firewall: Firewall, written: str) -> tuple[Source, ...]:
    """Addresses that one entry of `open.sources` stands for; none for `anywhere`, and for what means nothing."""
    if written in PLACES:
        found = {"mesh": _mesh(fleet, host), "management": sources(fleet, host, firewall, "management")}
        return tuple(found.get(written, ()))
    if written in fleet.hosts:
        return tuple(_hosts(fleet, host, [written]))
    network = network_of(written)
    return () if network is None else (Source(str(network), ""),)


def network_of(written: str) -> IPv4Network | None:
    """The network that a text stands for; None where it is none."""
    try:
        return IPv4Network(written)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None


def _hosts(fleet: Fleet, host: str, names: Iterable[str]) -> list[Source]:
    """Other hosts, in the mesh where both are in it."""
    own = device(fleet, host)
    found = []
    for name in sorted(set(names) - {host}):
        other = member(fleet, name)
        if own is not None and other is not None:
            found.append(Source(f"{other.address}/32", name, own))
        else:
            found.append(Source(f"{fleet.hosts[name].address}/32", name))
    return found


def _site(fleet: Fleet, host: str) -> list[Source]:
    """Members of the mesh that dial the host at its `address`."""
    own = member(fleet, host)
    others = ((name, member(fleet, name)) for name in sorted(set(fleet.hosts) - {host}))
    near = [name for name, other in others if own is not None and other is not None and own.near(other)]
    return [Source(f"{fleet.hosts[name].address}/32", name) for name in near]


def _mesh(fleet: Fleet, host: str) -> Iterator[Source]:
    interface = device(fleet, host)
    if fleet.network.mesh is not None and interface is not None:
        yield Source(str(fleet.network.mesh.subnet), "mesh", interface)


def _around(fleet: Fleet, host: str) -> list[Source]:
    """The mesh and the hosts that are not in it; without a mesh all other hosts."""
    inside = list(_mesh(fleet, host))
    others = [name for name in fleet.hosts if not inside or member(fleet, name) is None]
    return [*inside, *_hosts(fleet, host, others)]


def _management(firewall: Firewall) -> Iterator[Source]:
    yield from _named("management", firewall.management)


def _named(name: str, networks: Iterable[IPv4Network]) -> Iterator[Source]:
    for network in networks:
        yield Source(str(network), name)
