"""The interfaces of a host with their addresses, and the default routes that its own configuration has."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from itertools import chain, islice, repeat
from typing import Any

from pyinfra.api import FactBase


@dataclass(frozen=True)
class Interface:
    """A network interface with its addresses; `peers` are those at the other ends of its point-to-point links."""

    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    peers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ways:
    """The interfaces of a host, and the default routes that its own configuration has."""

    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    defaults: frozenset[tuple[int, str]] = frozenset()
    """Version of the protocol, and interface."""


class Network(FactBase[Ways]):
    """Interfaces, addresses and default routes, as iproute2 tells them."""

    def command(self) -> str:
        """A line of JSON each, empty where there is nothing to list; a host without IPv6 has none of its routes."""
        return (
            "command -v ip >/dev/null || exit 0\n"
            "for what in 'address show' '-4 route show table main default' '-6 route show table main default'; do\n"
            "  ip -j $what 2>/dev/null | tr -d '\\n'; echo\ndone"
        )

    @staticmethod
    def default() -> Ways:
        """A host that does not say."""
        return Ways()

    def process(self, output: Iterable[str]) -> Ways:
        """Addresses first, then the routes of either protocol."""
        links, fours, sixes = (_listed(line) for line in islice(chain(output, repeat("")), 3))
        return Ways(
            {link["ifname"]: _interface(link) for link in links if "ifname" in link},
            frozenset(
                (version, hop["dev"])
                for version, routes in ((4, fours), (6, sixes))
                for route in routes
                for hop in (route, *route.get("nexthops", ()))
                if "dev" in hop
            ),
        )


def _listed(line: str) -> list[dict[str, Any]]:
    """A list of iproute2's; where it failed half-way it is none."""
    try:
        found: list[dict[str, Any]] = json.loads(line)
    except ValueError:
        return []
    return found


def _interface(link: Mapping[str, Any]) -> Interface:
    infos = [info for info in link.get("addr_info", ()) if "local" in info]
    return Interface(
        tuple(ip_interface(f"{info['local']}/{info['prefixlen']}") for info in infos),
        frozenset(info["address"] for info in infos if "address" in info),
    )
