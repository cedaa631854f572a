"""What uplinks are probed with: enough of it, of more than one operator, and beyond the provider."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from stackctl.schema.problem import Problem
from stackctl.schema.source import Key
from stackctl.schema.wan import Target, Wan

_OPERATORS = {
    "Cloudflare": ("1.1.1.0/24", "1.0.0.0/24", "2606:4700:4700::/48"),
    "Google": ("8.8.8.0/24", "8.8.4.0/24", "2001:4860:4860::/48"),
    "Quad9": ("9.9.9.0/24", "149.112.112.0/24", "2620:fe::/48"),
    "OpenDNS": ("208.67.222.0/24", "208.67.220.0/24", "2620:119::/32"),
}
"""Name servers that everybody may ask; whose another address is nobody knows, so that its network stands for that."""

_ENOUGH = 3


def problems(key: Key, wan: Wan) -> Iterator[Problem]:
    """What is wrong with the targets of one host; `key` leads to its `wan`."""
    yield from _quorum(key, wan)
    yield from _few(key, wan)
    yield from _near(key, wan)


def address(target: Target) -> IPv4Address | IPv6Address:
    """Where the probe goes."""
    plain = target.icmp or target.dns
    return ip_address((target.tcp or "").rpartition(":")[0]) if plain is None else plain


def _quorum(key: Key, wan: Wan) -> Iterator[Problem]:
    count = len(wan.targets)
    if wan.quorum > count:
        what = f"is {wan.quorum}, and there {_are(count, 'target')}"
        yield Problem.at(*key, "quorum", what=what, hint="lower it, or add targets")
        return
    fours = sum(address(target).version == 4 for target in wan.targets)
    for index, uplink in enumerate(wan.uplinks):
        if uplink.gateway6 is None and fours < wan.quorum:
            what = f"carries IPv4 alone, and of the targets {fours} {'is' if fours == 1 else 'are'} reached by that"
            hint = f"add targets with IPv4 addresses, {wan.quorum} at least, or give it a `gateway6`"
            yield Problem.at(*key, "uplinks", index, what=what, hint=hint)


def _few(key: Key, wan: Wan) -> Iterator[Problem]:
    addresses = {address(target) for target in wan.targets}
    hint = "name three or more of different operators"
    if len(addresses) == 1:
        what = "are one address: when that does not answer, every uplink looks dead"
        yield _warning(Problem.at(*key, "targets", what=what, hint=hint))
    elif len(operators := {_operator(item) for item in addresses}) == 1:
        what = f"are all {operators.pop()}'s, whose fault would look like one of every uplink"
        yield _warning(Problem.at(*key, "targets", what=what, hint=hint))
    elif len(addresses) < _ENOUGH:
        what = f"are {len(addresses)}: a dead target can hardly be told from a dead uplink"
        yield _warning(Problem.at(*key, "targets", what=what, hint=hint))


def _near(key: Key, wan: Wan) -> Iterator[Problem]:
    """A router answers while the line behind it is dead."""
    for index, target in enumerate(wan.targets):
        found = address(target)
        for uplink in wan.uplinks:
            network = None if uplink.address is None else uplink.address.network
            if found in (uplink.gateway, uplink.gateway6) or (network is not None and found in network):
                what = f"{found} is on this side of `{uplink.name}`, and answers while the line behind it is dead"
                hint = "name something on the internet"
                yield _warning(Problem((*key, "targets", index), what, hint))


def _operator(found: IPv4Address | IPv6Address) -> str:
    for name, networks in _OPERATORS.items():
        if any(found in ip_network(network) for network in networks):
            return name
    return f"{ip_network(f'{found}/{24 if found.version == 4 else 48}', strict=False)}"


def _are(count: int, noun: str) -> str:
    return f"is 1 {noun}" if count == 1 else f"are {count} {noun}s"


def _warning(problem: Problem) -> Problem:
    return Problem(problem.key, problem.what, problem.hint, severity="warning")
