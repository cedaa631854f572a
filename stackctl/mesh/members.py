"""The hosts that have a place in the mesh. Pure."""

from collections.abc import Iterator

from stackctl.core.opening import Opening
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.mesh import Member


def members(fleet: Fleet) -> Iterator[tuple[str, Host, Member]]:
    """All of them, in name order."""
    for name, host in sorted(fleet.hosts.items()):
        if fleet.network.mesh is not None and host.mesh is not None:
            yield name, host, host.mesh


def dialled(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The mesh's own port, for everybody; none behind a NAT, and none of a host that has no place."""
    mesh, own = fleet.network.mesh, fleet.hosts[host].mesh
    if mesh is None or own is None or own.nat:
        return ()
    return (Opening(mesh.port, "udp", "world", "mesh"),)
