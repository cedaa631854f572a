"""What is wrong with a mesh whatever its backend: addresses that are elsewhere too, hosts that are left out. Pure."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from stackctl.mesh.members import members
from stackctl.schema.fleet import Fleet
from stackctl.schema.mesh import Mesh
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key
from stackctl.schema.wan import Uplink

SUBNET: Key = ("network", "mesh", "subnet")


def check(fleet: Fleet) -> Iterator[Problem]:
    """Everything but what the backend alone can say."""
    mesh = fleet.network.mesh
    if mesh is None:
        yield from _without(fleet)
        return
    yield from _outsiders(fleet)
    yield from _addresses(fleet, mesh)
    yield from _elsewhere(fleet, mesh)
    yield from _routes(fleet, mesh)
    for backend in ("nebula", "tailscale"):
        if getattr(mesh, backend) is not None and mesh.backend != backend:
            what = f"is given, but the backend is `{mesh.backend}`"
            hint = f"take it out, or write `backend: {backend}`"
            yield _warning("network", "mesh", backend, what=what, hint=hint)


def _warning(*key: str | int, what: str, hint: str) -> Problem:
    found = Problem.at(*key, what=what, hint=hint)
    return Problem(found.key, found.what, found.hint, severity="warning")


def _without(fleet: Fleet) -> Iterator[Problem]:
    for name, host in fleet.hosts.items():
        if host.mesh is not None:
            what = "is given, but the environment has no mesh"
            yield Problem.at(
                "hosts", name, "mesh", what=what, hint="write `network: {mesh: {subnet: 10.77.0.0/24}}`"
            )


def _outsiders(fleet: Fleet) -> Iterator[Problem]:
    """A fleet may come into its mesh host by host, so that this is no error."""
    for name, host in fleet.hosts.items():
        if host.mesh is None:
            what = f"{name} has no place in the mesh: others reach it at {host.address}, in the open"
            yield Problem(("hosts", name), what, "give it a `mesh.address`", severity="warning")


def _addresses(fleet: Fleet, mesh: Mesh) -> Iterator[Problem]:
    owners: dict[IPv4Address, str] = {}
    for name, host in fleet.hosts.items():
        if host.mesh is None:
            continue
        address, key = host.mesh.address, ("hosts", name, "mesh", "address")
        hint = f"choose a free address in {mesh.subnet}"
        if address not in mesh.subnet:
            yield Problem(key, f"{address} is not in the mesh's {mesh.subnet}", hint)
        elif mesh.subnet.prefixlen < 31 and address in (mesh.subnet[0], mesh.subnet[-1]):
            yield Problem(key, f"{address} stands for all of {mesh.subnet}, not for a host", hint)
        owner = owners.setdefault(address, name)
        if owner != name:
            yield Problem(key, f"{address} is already {owner}'s address in the mesh", hint)


def _elsewhere(fleet: Fleet, mesh: Mesh) -> Iterator[Problem]:
    for key, network, what in _others(fleet):
        if network.overlaps(mesh.subnet):
            text = f"{network if network.prefixlen < 32 else network[0]} is {what}, within the mesh's {mesh.subnet}"
            yield Problem(
                key, text, "choose a subnet for the mesh that is nowhere else, such as 10.77.0.0/24"
            )


def _others(fleet: Fleet) -> Iterator[tuple[Key, IPv4Network, str]]:
    """Addresses outside the mesh: where each is written, and what it is."""
    for name, host in fleet.hosts.items():
        own: Key = ("hosts", name)
        yield (*own, "address"), IPv4Network(host.address), f"{name}'s own address"
        if host.docker.address_pool is not None:
            yield (*own, "docker", "address_pool"), host.docker.address_pool, f"for {name}'s containers"
        for index, endpoint in enumerate(host.mesh.endpoints if host.mesh is not None else ()):
            if isinstance(endpoint, IPv4Address):
                yield (
                    (*own, "mesh", "endpoints", index),
                    IPv4Network(endpoint),
                    f"where {name} is dialled from outside",
                )
        if host.wan is not None:
            yield from _uplinks(name, host.wan.uplinks)


def _uplinks(name: str, uplinks: tuple[Uplink, ...]) -> Iterator[tuple[Key, IPv4Network, str]]:
    for index, uplink in enumerate(uplinks):
        key: Key = ("hosts", name, "wan", "uplinks", index)
        if isinstance(uplink.gateway, IPv4Address):
            yield (*key, "gateway"), IPv4Network(uplink.gateway), f"the router of {name}'s `{uplink.name}`"
        if uplink.address is not None:
            yield (*key, "address"), uplink.address.network, f"{name}'s address on `{uplink.name}`"


def _routes(fleet: Fleet, mesh: Mesh) -> Iterator[Problem]:
    taken: list[tuple[IPv4Network, str]] = []
    outside = [item for item in _others(fleet) if item[0][-1] != "address_pool"]
    for name, _, member in members(fleet):
        for index, route in enumerate(member.routes):
            key, hint = (
                ("hosts", name, "mesh", "routes", index),
                "name networks that are behind this host alone",
            )
            if route.overlaps(mesh.subnet):
                yield Problem(key, f"{route} overlaps the mesh's own {mesh.subnet}", hint)
            for network, owner in taken:
                if route.overlaps(network):
                    yield Problem(key, f"{route} overlaps {network}, which is behind {owner}", hint)
            for _, network, what in outside:
                if route.overlaps(network):
                    yield Problem(key, f"{route} holds {network[0]}, {what}, and would hide it", hint)
            yield from _pools(fleet, name, route, key)
            taken.append((route, name))


def _pools(fleet: Fleet, name: str, route: IPv4Network, key: Key) -> Iterator[Problem]:
    for other, host in sorted(fleet.hosts.items()):
        pool = host.docker.address_pool
        if other != name and pool is not None and route.overlaps(pool):
            what = f"{route} overlaps {pool}, from which {other}'s own containers are given addresses"
            hint = f"give the two hosts pools of their own, `hosts.{other}.docker.address_pool`"
            yield Problem(key, what, hint)
