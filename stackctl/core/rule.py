"""Who may reach a port of a host, and why: what a firewall's file, plans and `firewall show` are made of."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Literal

MARK = "# rule "
"""Begins the lines that say what a firewall's file lets in, for programs to read again."""

_BETWEEN = " | "
_PORT = re.compile(r"([0-9]{1,5})/(tcp|udp)")
_SOURCE = re.compile(r"([0-9.]+/[0-9]+)(?: (\S+))??(?: by (\S+))?")

EVERYBODY = "everybody"


@dataclass(frozen=True, order=True)
class Source:
    """Addresses that may reach a port."""

    network: str
    """Such as `10.77.0.11/32`."""
    name: str
    """Whose they are: a host's name, `management`, `clients`, `mesh`; empty where they were written as they are."""
    interface: str | None = None
    """The only network interface that they come in by; None: by whichever."""

    def holds(self, address: IPv4Address, interface: str | None) -> bool:
        """Whether somebody at this address, coming in by this interface, is meant."""
        return address in IPv4Network(self.network) and self.interface in (None, interface)


@dataclass(frozen=True, order=True)
class Rule:
    """One port, open to those who are meant to reach it and to nobody else."""

    port: int
    protocol: Literal["tcp", "udp"]
    audience: str
    """Who they are, in words: `gateways`, `everybody`."""
    sources: tuple[Source, ...] | None
    """Their addresses; None: everybody is let in, by uplinks too."""
    reason: str
    """What for."""
    declared: str
    """Where it comes from: a capability, or the setting by its name."""

    @property
    def everybody(self) -> bool:
        """Whether nobody is kept out."""
        return self.sources is None

    @property
    def name(self) -> str:
        """`8000/tcp`."""
        return f"{self.port}/{self.protocol}"

    def admits(self, address: IPv4Address | None, interface: str | None) -> bool:
        """Whether it lets in who comes from this address by this interface; None: an address of IPv6."""
        if self.sources is None:
            return True
        return address is not None and any(source.holds(address, interface) for source in self.sources)


def marked(rule: Rule) -> str:
    """A line of a firewall's file: `# rule 22/tcp | management | 10.9.0.0/24 management | ssh | firewall.ssh`."""
    sources = EVERYBODY if rule.sources is None else ", ".join(map(_source_text, rule.sources))
    return MARK + _BETWEEN.join((rule.name, rule.audience, sources, rule.reason, rule.declared))


def marks(text: str) -> tuple[Rule, ...]:
    """The rules that a firewall's file says it is made of; what a person has made unreadable is left out."""
    found = (_rule(line.removeprefix(MARK)) for line in text.splitlines() if line.startswith(MARK))
    return tuple(rule for rule in found if rule is not None)


def by_interface(sources: Iterable[Source]) -> dict[str | None, Sequence[IPv4Network]]:
    """Networks by the interface that they come in by, none of them within another, as nft wants them."""
    groups: dict[str | None, list[IPv4Network]] = {}
    for source in sources:
        groups.setdefault(source.interface, []).append(IPv4Network(source.network))
    return {interface: tuple(collapse_addresses(groups[interface])) for interface in sorted(groups, key=str)}


def _source_text(source: Source) -> str:
    by = f" by {source.interface}" if source.interface else ""
    return f"{source.network} {source.name}".rstrip() + by


def _source(text: str) -> Source | None:
    found = _SOURCE.fullmatch(text)
    return found and Source(found[1], found[2] or "", found[3])


def _rule(text: str) -> Rule | None:
    match text.split(_BETWEEN):
        case [name, audience, listed, reason, declared] if (port := _PORT.fullmatch(name)) is not None:
            protocol: Literal["tcp", "udp"] = "udp" if port[2] == "udp" else "tcp"
            sources = [_source(item) for item in listed.split(", ")]
            kept = None if listed == EVERYBODY else tuple(filter(None, sources))
            return Rule(int(port[1]), protocol, audience, kept, reason, declared)
    return None
