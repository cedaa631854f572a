"""How long the other hosts of a WireGuard mesh have been silent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from stackctl.core.finding import Finding

SILENT = 190
"""Seconds: a peer that is to be heard shakes hands every 120 s, or after 180 s at the latest."""

# Never `wg show all dump`, which has the private key.
SCRIPT = """command -v wg >/dev/null || exit 0
date +now%t%s
for what in allowed-ips persistent-keepalive latest-handshakes; do wg show all $what | sed "s/^/$what\\t/"; done
"""


@dataclass(frozen=True)
class Peer:
    """Another host, as WireGuard sees it."""

    interface: str
    name: str
    """The host's name, where its address is that of one; else its first address, or its public key."""
    age: int | None
    """Seconds since the last handshake; None: there was none."""
    kept: bool
    """Whether it is spoken to even where nobody has anything to say, so that silence means something."""

    @property
    def silent(self) -> bool:
        """Whether it should have been heard."""
        return self.kept and (self.age is None or self.age > SILENT)


def read(text: str, hosts: Mapping[str, str]) -> tuple[Peer, ...]:
    """Peers by interface and name; `hosts` are names by address in the mesh."""
    now = 0
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line in text.splitlines():
        what, *rest = line.split("\t")
        if what == "now":
            now = int(rest[0])
        elif len(rest) == 3:
            found.setdefault((rest[0], rest[1]), {})[what] = rest[2]
    return tuple(sorted(_peers(found, now, hosts), key=lambda peer: (peer.interface, peer.name)))


def _peers(
    found: Mapping[tuple[str, str], Mapping[str, str]], now: int, hosts: Mapping[str, str]
) -> Iterator[Peer]:
    for (interface, key), told in found.items():
        at = int(told.get("latest-handshakes", "0"))
        kept = told.get("persistent-keepalive", "off") != "off"
        yield Peer(interface, _name(key, told.get("allowed-ips", ""), hosts), now - at if at else None, kept)


def _name(key: str, allowed: str, hosts: Mapping[str, str]) -> str:
    networks = [item for item in allowed.replace("(none)", "").split() if "/" in item]
    addresses = [str(ip_network(item, strict=False).network_address) for item in networks]
    return next((hosts[item] for item in addresses if item in hosts), (addresses or [key])[0])


def troubles(host: str, peers: tuple[Peer, ...]) -> Iterator[Finding]:
    """Peers that should have been heard."""
    for peer in peers:
        if peer.silent:
            since = "has never been heard" if peer.age is None else f"was last heard {peer.age} s ago"
            hint = f"compare with `wg show {peer.interface}` on both hosts, and with their keys and endpoints"
            yield Finding(f"{host} · mesh", f"{peer.name} {since}", hint)
