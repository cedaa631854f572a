"""Uplinks of a host: what cannot work beside each other, and what would fail without anybody noticing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from stackctl.schema import targets
from stackctl.schema.fleet import Fleet
from stackctl.schema.probing import resolved
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key
from stackctl.schema.wan import Uplink, Wan
from stackctl.schema.wording import similar

LEAST_MTU = 1360
"""Bytes that an uplink has to carry for a mesh: 80 of them are WireGuard's own, and IPv6 in the mesh needs 1280."""

_EVERYWHERE = {
    "accept_redirects": "0",
    "rp_filter": "2",
    "secure_redirects": "0",
    "send_redirects": "0",
}
_ON_UPLINKS = {**_EVERYWHERE, "arp_announce": "2", "arp_ignore": "1"}
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
"""Folders that the agent's unit hides from it."""


@dataclass(frozen=True)
class _Host:
    """One host's uplinks, and where they are written."""

    name: str
    wan: Wan

    @property
    def key(self) -> Key:
        return ("hosts", self.name, "wan")

    def of(self, uplink: Uplink, *more: str) -> Key:
        return (*self.key, "uplinks", self.wan.uplinks.index(uplink), *more)

    @property
    def pairs(self) -> Iterator[tuple[Uplink, Uplink]]:
        """Each two of the uplinks, in the order in which they are written."""
        return combinations(self.wan.uplinks, 2)


def kernel_settings(wan: Wan) -> dict[str, str]:
    """What the kernel is told, so that answers may come back by any uplink and routes stay as they are set."""
    names = sorted({uplink.interface for uplink in wan.uplinks})
    if not names:
        return {}
    everywhere = {
        _conf(name, key): value for name in ("all", "default") for key, value in _EVERYWHERE.items()
    }
    own = {_conf(name, key): value for name in names for key, value in _ON_UPLINKS.items()}
    more = {"net.ipv4.conf.all.src_valid_mark": "1", "net.ipv4.tcp_mtu_probing": "1"}
    if wan.mode == "weighted":  # by ports too, or all that goes to one address would take one uplink
        versions = (4, 6) if any(uplink.gateway6 for uplink in wan.uplinks) else (4,)
        more |= {f"net.ipv{version}.fib_multipath_hash_policy": "1" for version in versions}
    return dict(sorted({**everywhere, **own, **more}.items()))


def _conf(interface: str, key: str) -> str:
    """A name with a dot in it is written with slashes around it."""
    whole = ("net", "ipv4", "conf", interface, key)
    return ("/" if "." in interface else ".").join(whole)


def problems(fleet: Fleet) -> Iterator[Problem]:
    """All of them, host by host."""
    for name, written in fleet.hosts.items():
        if written.wan is None or not written.wan.uplinks:
            continue
        host = _Host(name, written.wan)
        yield from _names(host)
        yield from _order(host)
        yield from _ways(host)
        yield from _addresses(host)
        if written.mesh is None:  # of a host in the mesh, the mesh says it
            yield from _mtu(host)
        yield from _pins(host)
        if not _on_wireguard(fleet, name):
            yield from _pins_of_the_mesh(host)
        yield from _hook(host)
        yield from _probing(host)
        yield from targets.problems(host.key, host.wan)
        yield from _settings(host, written.system.sysctl)
        yield from _resolvers(host, written.os)


def _names(host: _Host) -> Iterator[Problem]:
    for field in ("name", "number"):
        seen = set()
        for uplink in host.wan.uplinks:
            value = getattr(uplink, field)
            if value is not None and value in seen:
                what = f"`{value}` is already another uplink's {field}"
                yield Problem(host.of(uplink, field), what, f"give every uplink a {field} of its own")
            seen.add(value)


def _order(host: _Host) -> Iterator[Problem]:
    given = [uplink for uplink in host.wan.uplinks if uplink.priority is not None]
    for uplink in host.wan.uplinks:
        if given and uplink.priority is None:
            what = "has no `priority`, and others have one"
            yield Problem.at(*host.of(uplink), what=what, hint="give every uplink one, or none")
    for first, second in host.pairs:
        if first.priority is not None and first.priority == second.priority:
            what = f"{second.priority} is already `{first.name}`'s priority"
            yield Problem(host.of(second, "priority"), what, "give every uplink a priority of its own")
    if all(uplink.metered for uplink in host.wan.uplinks):
        what = "are all `metered`, so that one paid by volume is used first"
        yield _warning(Problem.at(*host.key, "uplinks", what=what, hint="leave it out where volume is free"))


def _ways(host: _Host) -> Iterator[Problem]:
    """Uplinks on one interface are told apart by their gateways alone."""
    for first, second in host.pairs:
        if first.interface != second.interface:
            continue
        key = host.of(second, "gateway")
        both = f"`{first.name}` and `{second.name}` are on {second.interface}"
        if "auto" in (first.gateway, second.gateway):
            hint = "write the address of each one's `gateway`"
            yield Problem(key, f"{both}, where one of two gateways cannot be `auto`", hint)
        elif first.gateway == second.gateway:
            hint = "write another `gateway`, or keep one of the two"
            yield Problem(key, f"{both} and have the same gateway, {second.gateway}", hint)
        key6 = host.of(second, "gateway6")
        if "auto" in (first.gateway6, second.gateway6):
            yield Problem(key6, f"{both}, where `gateway6` cannot be `auto`", "write the address of each")
        elif first.gateway6 is not None and first.gateway6 == second.gateway6:
            what = f"{both} and have the same gateway for IPv6, {second.gateway6}"
            yield Problem(key6, what, "write another `gateway6`, or leave it out of one of them")


def _addresses(host: _Host) -> Iterator[Problem]:
    for uplink in host.wan.uplinks:
        own, gateway = uplink.address, uplink.gateway
        if own is None or gateway == "auto":
            continue
        if own.ip == gateway:
            what = f"{own.ip} is the host's own address on this uplink"
            yield Problem(host.of(uplink, "gateway"), what, "write the router's address")
        elif own.network.prefixlen < 32 and gateway not in own.network:
            what = f"{gateway} is not in {own.network}, the network of the uplink's address"
            yield Problem(
                host.of(uplink, "gateway"), what, "correct `gateway`, or the `address` and its length"
            )
    for first, second in host.pairs:
        if first.address is None or second.address is None:
            continue
        key = host.of(second, "address")
        if first.address.ip == second.address.ip and first.interface != second.interface:
            what = f"{second.address.ip} is already `{first.name}`'s address"
            yield Problem(key, what, "give every uplink an address of its own")
        elif first.interface != second.interface and first.address.network.overlaps(second.address.network):
            what = f"{second.address.network} overlaps with `{first.name}`'s network, {first.address.network}"
            yield Problem(key, what, "give one of the two routers another network for its side of the host")


def _mtu(host: _Host) -> Iterator[Problem]:
    for uplink in host.wan.uplinks:
        if uplink.mtu < LEAST_MTU:
            what = f"is {uplink.mtu}, too small for a mesh, which needs {LEAST_MTU}"
            hint = "correct it, or have its provider raise it"
            yield _warning(Problem.at(*host.of(uplink, "mtu"), what=what, hint=hint))


def _pins(host: _Host) -> Iterator[Problem]:
    names = [uplink.name for uplink in host.wan.uplinks]
    owners: dict[object, str] = {}
    for index, pin in enumerate(host.wan.pins):
        key = (*host.key, "pins", index)
        if pin.uplink not in names:
            what = f"`{pin.uplink}` is not one of the host's uplinks"
            yield Problem((*key, "uplink"), what, similar(pin.uplink, names))
        if pin.source is not None and pin.source.prefixlen == 0:
            hint = "give the uplink the lowest `priority` instead"
            yield Problem.at(*key, "source", what="is everything that there is", hint=hint)
        whose = pin.user or pin.source or "mesh"
        owner = owners.setdefault(whose, pin.uplink)
        if owner != pin.uplink:
            yield Problem(key, f"`{whose}` is already pinned to `{owner}`", "keep one of them")


def _probing(host: _Host) -> Iterator[Problem]:
    """A profile's numbers fit each other; one's own may not."""
    wan, key = host.wan, (*host.key, "probing")
    profiles = dict.fromkeys(uplink.profile or wan.profile for uplink in wan.uplinks)
    for profile in profiles:
        numbers = resolved(profile, wan.probing)
        of = f"with the profile `{profile}`"
        for down, up in (("loss_down", "loss_up"), ("rtt_down", "rtt_up")):
            if numbers[up] > numbers[down]:
                what = f"has `{up}` {numbers[up]:g} above `{down}` {numbers[down]:g} {of}"
                yield Problem.at(
                    *key, what=what, hint=f"lower `{up}`: what is good must be better than what is bad"
                )
        if numbers["rtt_down"] > numbers["timeout"]:
            what = f"has `rtt_down` {numbers['rtt_down']:g} above `timeout` {numbers['timeout']:g} {of}"
            yield Problem.at(*key, what=what, hint="raise `timeout`: what comes later counts as lost")
        if numbers["window"] < 10 * numbers["interval"]:
            what = (
                f"has a `window` of {numbers['window']:g} s for a probe every {numbers['interval']:g} s {of}"
            )
            yield Problem.at(*key, what=what, hint="make it ten times the `interval` or longer")


def _hook(host: _Host) -> Iterator[Problem]:
    for folder in _HIDDEN:
        if host.wan.hook is not None and host.wan.hook.startswith(f"{folder}/"):
            what = f"is below {folder}, which the agent does not see"
            yield Problem.at(*host.key, "hook", what=what, hint="put it elsewhere, such as /usr/local/sbin")


def _on_wireguard(fleet: Fleet, host: str) -> bool:
    mesh = fleet.network.mesh
    return mesh is not None and mesh.backend == "wireguard" and fleet.hosts[host].mesh is not None


def _pins_of_the_mesh(host: _Host) -> Iterator[Problem]:
    for index, pin in enumerate(host.wan.pins):
        if pin.mesh:
            what = "is for packets of a mesh by WireGuard, and the host is in none"
            yield Problem.at(*host.key, "pins", index, what=what, hint="take the pin out")


def _settings(host: _Host, own: Mapping[str, str]) -> Iterator[Problem]:
    needed = kernel_settings(host.wan)
    for name, value in own.items():
        if needed.get(name, value) != value:
            what = f"is {value}, and more than one uplink needs {needed[name]}"
            key = ("hosts", host.name, "system", "sysctl", name)
            yield Problem.at(*key, what=what, hint="take it out")


def _resolvers(host: _Host, system: str) -> Iterator[Problem]:
    if host.wan.resolvers and not system.startswith("ubuntu"):
        what = f"is for hosts with systemd-resolved, which {system} does not bring"
        hint = "take it out, and write the name servers into the host's own /etc/resolv.conf"
        yield Problem.at(*host.key, "resolvers", what=what, hint=hint)


def _warning(problem: Problem) -> Problem:
    return Problem(problem.key, problem.what, problem.hint, severity="warning")
