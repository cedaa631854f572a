"""Who reaches whom in a mesh of WireGuard's, and with packets of which size."""

from stackctl.mesh.members import members
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.mesh import Member

OVERHEAD = 80
"""Bytes that WireGuard adds to a packet, over IPv6 at the most."""
LEAST, LARGEST = 1280, 1420
"""Sizes of packets within the mesh, in bytes: IPv6 needs the least one."""


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
