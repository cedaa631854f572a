"""What a host lets in: its capabilities' ports for those they are meant for, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal, Protocol

from stackctl.capabilities import docker, gateway, gpu, mesh, serving, system, wan, weights
from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Audience, Opening
from stackctl.core.rule import EVERYBODY, Rule, by_interface, marked
from stackctl.schema.audience import device, logins, member, network_of, origin, sources
from stackctl.schema.firewall import PLACES, Firewall, Own
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.schema.source import dotted
from stackctl.schema.wording import similar

RULES_FILE = "/etc/stackctl/nft/firewall.nft"
UNIT = "stackctl-firewall.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
NFTABLES_FILE = "/etc/systemd/system/nftables.service.d/stackctl.conf"
"""Has the distribution's own unit load our table again whenever it flushed all there are: its stop does, and so does, as
a rule, the file that it loads. Which tables that file brought, and a stop might take away in place of all, nobody can tell."""
TABLE = "inet stackctl"
LOADED = "/run/stackctl-firewall/loaded"
"""Hash of the file that was loaded last, and of the table as the kernel told it right then."""
PACKAGES = ("nftables",)


class Opens(Protocol):
    """A capability, as far as it listens on ports."""

    __name__: str

    def openings(self, fleet: Fleet, host: str) -> tuple[Opening, ...]:
        """The ports that it listens on."""


OPENS: tuple[Opens, ...] = (system, wan, mesh, gpu, docker, weights, serving, gateway)
"""All other capabilities: what they declare is let in."""

SSH_PORT = 22

_WHO = {"management": "operators and monitoring", "clients": "the gateway's clients"}

AUDIENCES: Mapping[Audience, str] = {
    "gateways": "gateways",
    "fleet": "all hosts",
    "site": "hosts of its site",
    "clients": "clients",
    "management": "management",
    "world": EVERYBODY,
}


@dataclass(frozen=True)
class FirewallSpec:
    """What one host lets in."""

    rules: tuple[Rule, ...]
    """In order of their ports."""
    outside: Mapping[str, str]
    """Interfaces towards the internet, each with the name of its uplink where it has one."""
    mesh: str | None
    """Network interface of the mesh, where the host is in it."""
    passes: tuple[str, ...]
    """Networks that it passes on to for hosts of the mesh."""
    hub: bool
    """Whether it passes on what two hosts of the mesh have for each other."""
    ping: bool
    ssh: Literal["management", "mesh"]
    ssh_address: str | None
    """The host's address in the mesh, at which logins have to come once `ssh` is `mesh`."""
    place: str
    """Where its settings are written, for people."""


def resolve(fleet: Fleet, host: str) -> FirewallSpec | None:
    """What the host lets in; None where nobody asked for that to be looked after."""
    wanted = fleet.hosts[host].firewall
    if wanted is None:
        return None
    place = member(fleet, host)
    return FirewallSpec(
        rules=tuple(sorted(_rules(fleet, host, wanted), key=lambda rule: (rule.port, rule.protocol))),
        outside=outside(fleet, host),
        mesh=device(fleet, host),
        passes=tuple(map(str, place.routes)) if place else (),
        hub=bool(place and place.hub),
        ping=wanted.ping,
        ssh=wanted.ssh,
        ssh_address=str(place.address) if place else None,
        place=f"inventory/{fleet.environment}.yaml {dotted(('hosts', host, 'firewall'))}",
    )


def templates(spec: FirewallSpec) -> tuple[FileTemplate, ...]:
    """The rules, the unit that loads them before there is any network, and what loads them after a flush."""
    values = {
        "spec": spec,
        "matches": [match for rule in spec.rules for match in _matches(rule)],
        "marks": [marked(rule) for rule in spec.rules],
        "table": TABLE,
    }
    unit = {"rules": RULES_FILE, "loaded": LOADED, "table": TABLE}
    return (
        FileTemplate(UNIT_FILE, "firewall/unit.service.j2", unit),
        FileTemplate(NFTABLES_FILE, "firewall/nftables.conf.j2", {"rules": RULES_FILE}),
        FileTemplate(RULES_FILE, "firewall/firewall.nft.j2", values),
    )


def _matches(rule: Rule) -> Iterator[tuple[str, str]]:
    """What nft compares for a rule, and the reason; a port as it was dialled, whatever Docker makes of it."""
    dialled = f"meta l4proto {rule.protocol} ct original proto-dst {rule.port}"
    if rule.sources is None:
        yield dialled, rule.reason
    for interface, networks in by_interface(rule.sources or ()).items():
        by = "" if interface is None else f'iifname "{interface}" '
        yield f"{by}{dialled} ip saddr {{ {', '.join(map(str, networks))} }}", rule.reason


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:  # noqa: ARG001
    """It listens on nothing itself."""
    return ()


def check(fleet: Fleet) -> Iterator[Problem]:
    """Hosts that nobody could log in to, networks that mean nothing, ports that are declared twice."""
    for host, wanted in fleet.hosts.items():
        if wanted.firewall is not None:
            yield from _way_in(fleet, host, wanted.firewall)
            yield from _networks(host, wanted.firewall)
            yield from _outside(fleet, host)
            yield from _own(fleet, host, wanted.firewall)


def outside(fleet: Fleet, host: str) -> dict[str, str]:
    """Interfaces towards the internet by name, each with the name of its uplink where it has one."""
    wan, firewall = fleet.hosts[host].wan, fleet.hosts[host].firewall
    found = dict.fromkeys(firewall.outside if firewall else (), "")
    for uplink in wan.uplinks if wan else ():
        found[uplink.interface] = ", ".join(filter(None, (found.get(uplink.interface), uplink.name)))
    return dict(sorted(found.items()))


def _rules(fleet: Fleet, host: str, wanted: Firewall) -> Iterator[Rule]:
    who = "the mesh" if wanted.ssh == "mesh" else AUDIENCES["management"]
    port = fleet.hosts[host].ssh.port or SSH_PORT
    yield Rule(port, "tcp", who, logins(fleet, host, wanted), "ssh", "firewall.ssh")
    for declared, opening in _declared(fleet, host):
        yield Rule(
            opening.port,
            opening.protocol,
            AUDIENCES[opening.audience],
            None if opening.audience == "world" else sources(fleet, host, wanted, opening.audience),
            opening.reason,
            declared,
        )
    for index, own in enumerate(wanted.open):
        yield from _opened(fleet, host, wanted, own, f"firewall.open[{index}]")


def _declared(fleet: Fleet, host: str) -> Iterator[tuple[str, Opening]]:
    """What capabilities declare, each once though two replicas of a host may say the same."""
    for capability in OPENS:
        for opening in dict.fromkeys(capability.openings(fleet, host)):
            yield capability.__name__.rpartition(".")[2], opening


def _opened(fleet: Fleet, host: str, wanted: Firewall, own: Own, declared: str) -> Iterator[Rule]:
    everybody = "anywhere" in own.sources
    found = [source for text in own.sources for source in origin(fleet, host, wanted, text)]
    audience = EVERYBODY if everybody else ", ".join(own.sources)
    for port in sorted(set(own.ports)):
        yield Rule(
            port,
            own.protocol,
            audience,
            None if everybody else tuple(dict.fromkeys(found)),
            own.reason,
            declared,
        )


def _way_in(fleet: Fleet, host: str, wanted: Firewall) -> Iterator[Problem]:
    inside = device(fleet, host) is not None
    if wanted.ssh == "mesh" and not inside:
        what = f"is `mesh`, and {host} is in no mesh"
        hint = "give it a place in `network.mesh` with its `mesh.address`, or list `management` networks"
        yield Problem.at("hosts", host, "firewall", "ssh", what=what, hint=hint)
    elif wanted.ssh == "management" and not wanted.management:
        what = "names no network that operators come from"
        hint = "list them in `management`" + (", or set `ssh: mesh`" if inside else "")
        yield Problem.at("hosts", host, "firewall", what=what, hint=hint)
    mesh = fleet.network.mesh
    if inside and mesh is not None and "gateway" in fleet.hosts[host].roles:
        members = (member(fleet, name) for name in fleet.hosts)
        reached = [mesh.subnet, *(route for place in members if place for route in place.routes)]
        for index, network in enumerate(wanted.clients):
            if not any(network.overlaps(other) for other in reached):
                what = f"is outside the mesh, and {host}'s gateway listens at its address in the mesh alone"
                hint = "clients have to be in the mesh, or behind one of its hosts' `mesh.routes`"
                key = ("hosts", host, "firewall", "clients", index)
                yield Problem(key, f"{dotted(key)} {what}", hint, "warning")


def _networks(host: str, wanted: Firewall) -> Iterator[Problem]:
    for field, networks in (("management", wanted.management), ("clients", wanted.clients)):
        for index, network in enumerate(networks):
            what = _senseless(network)
            if what is not None:
                hint = f"write the networks that {_WHO[field]} come from"
                yield Problem.at("hosts", host, "firewall", field, index, what=what, hint=hint)


def _senseless(network: IPv4Network) -> str | None:
    """Why nobody, or everybody, would come from there."""
    if network.prefixlen == 0:
        return "is everybody"
    if network.is_loopback or network.is_multicast or network.is_unspecified or network.is_reserved:
        return f"is `{network}`, and nobody comes from there"
    return None


def _outside(fleet: Fleet, host: str) -> Iterator[Problem]:
    key = ("hosts", host, "firewall")
    found = outside(fleet, host)
    if not found:
        what = f"{dotted(key)} knows of no way to the internet"
        hint = "name the interface in `outside`, so that what comes by it is dropped before Docker sees it"
        yield Problem(key, what, hint, "warning")
    mesh = device(fleet, host)
    if mesh in found:
        what = f"has `{mesh}`, which is the mesh's own interface"
        yield Problem.at(*key, "outside", what=what, hint="name interfaces towards the internet alone")


def _own(fleet: Fleet, host: str, wanted: Firewall) -> Iterator[Problem]:
    taken = {(fleet.hosts[host].ssh.port or SSH_PORT, "tcp"): "for ssh"}
    for declared, opening in _declared(fleet, host):
        taken[opening.port, opening.protocol] = f"for {declared}, {opening.reason}"
    for index, own in enumerate(wanted.open):
        key = ("hosts", host, "firewall", "open", index)
        for port in own.ports:
            name = f"{port}/{own.protocol}"
            if (owner := taken.get((port, own.protocol))) is not None:
                what = f"has {name}, which is open already {owner}"
                yield Problem.at(*key, "ports", what=what, hint="take it out: each port is declared once")
            taken.setdefault((port, own.protocol), f"for `open[{index}]`")
        for place, text in enumerate(own.sources):
            yield from _origin(fleet, host, text, (*key, "sources", place))


def _origin(fleet: Fleet, host: str, text: str, key: Sequence[str | int]) -> Iterator[Problem]:
    if text == "mesh" and device(fleet, host) is None:
        what = f"is `mesh`, and {host} is in no mesh"
        yield Problem.at(*key, what=what, hint="name networks or hosts instead")
    elif text in PLACES or text in fleet.hosts:
        return
    elif text[0].isdigit():
        if network_of(text) is None:
            hint = "write its first address, such as 10.0.0.0/24, or one address alone"
            yield Problem.at(*key, what=f"is `{text}`, which is no network", hint=hint)
    else:
        near = similar(text, [*fleet.hosts, *PLACES])
        yield Problem.at(*key, what=f"names `{text}`, which is not a host", hint=near)
