"""What in an inventory would keep hosts of a WireGuard mesh from each other."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from stackctl.mesh.members import members
from stackctl.mesh.ways import LEAST, OVERHEAD, direct, hub_of
from stackctl.schema.fleet import Fleet
from stackctl.schema.mesh import Member
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key, dotted
from stackctl.schema.wording import similar


def check(fleet: Fleet) -> Iterator[Problem]:
    """Hosts that nobody can dial, packets that do not get through, secrets that are not there."""
    mesh = fleet.network.mesh
    if mesh is not None and mesh.preshared is not None and mesh.preshared not in fleet.secrets:
        what = f"`{mesh.preshared}` is not one of this environment's `secrets`"
        hint = similar(
            mesh.preshared, fleet.secrets, f"run `stackctl secrets set {mesh.preshared}` and name it there"
        )
        yield Problem(("network", "mesh", "preshared"), what, hint)
    yield from _hubs(fleet)
    yield from _unreachable(fleet)
    yield from _endpoints(fleet)
    yield from _mtus(fleet)


def _hubs(fleet: Fleet) -> Iterator[Problem]:
    first, *others = [name for name, _, own in members(fleet) if own.hub] or [""]
    for name in others:
        what = (
            f"{name} passes nothing on as long as {first} is a hub: hosts behind NATs use the first by name"
        )
        yield Problem(("hosts", name, "mesh", "hub"), what, "keep one of them", severity="warning")


def _unreachable(fleet: Fleet) -> Iterator[Problem]:
    hidden: list[tuple[str, Member]] = []
    for name, _, own in members(fleet):
        if own.nat and own.hub:
            what = "is a hub behind a NAT, where nobody reaches it"
            yield Problem.at(
                "hosts", name, "mesh", what=what, hint="make a host with an address of its own the hub"
            )
        beyond = [other for other, member in hidden if not direct(own, member)]
        if beyond and hub_of(fleet, name) is None:
            what = f"is behind a NAT and so is {beyond[0]}: neither can dial the other, and there is no hub"
            hint = "write `hub: true` for a host that both reach, or one `site` for both where they share a network"
            yield Problem.at("hosts", name, "mesh", "nat", what=what, hint=hint)
        if own.nat:
            hidden.append((name, own))


def _endpoints(fleet: Fleet) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, host, own in members(fleet):
        key: Key = ("hosts", name, "mesh", "endpoints")
        if own.nat and own.endpoints:
            what = f"{dotted(key)} is given, but nobody dials a host behind a NAT"
            yield Problem(key, what, "take out `nat` or the endpoints", severity="warning")
        for place in () if own.nat else own.endpoints or (host.address,):
            owner = owners.setdefault(str(place), name)
            if owner != name:
                what = f"{place} is already where {owner} is dialled, and both listen on the mesh's one port"
                hint = "hosts behind one router: `nat: true` for all but one, and one `site` for them"
                yield Problem(key, what, hint)
            if not isinstance(place, IPv4Address):
                what = (
                    f"{place} is a name: a host that cannot look it up at boot has no mesh, and waits for it"
                )
                yield Problem(key, what, "write its address")


def _mtus(fleet: Fleet) -> Iterator[Problem]:
    for name, host, _ in members(fleet):
        for index, uplink in enumerate(host.wan.uplinks if host.wan is not None else ()):
            if uplink.mtu - OVERHEAD < LEAST:
                what = f"is {uplink.mtu}: the mesh's least packet of {LEAST} bytes needs {LEAST + OVERHEAD}"
                hint = "take this uplink out, or have its provider raise the size"
                yield Problem.at("hosts", name, "wan", "uplinks", index, "mtu", what=what, hint=hint)
