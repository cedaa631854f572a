"""Two or more uplinks: routing that follows the one that works, and the agent that tells which does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Literal

from stackctl.core.artifact import Artifact, FileTemplate
from stackctl.core.opening import Opening
from stackctl.schema import uplinks as written
from stackctl.schema.fleet import Fleet
from stackctl.schema.probing import resolved
from stackctl.schema.problem import Problem
from stackctl.schema.wan import Pin, Target, Uplink, Wan

PACKAGES = ("conntrack", "iproute2", "nftables", "python3")
UNIT = "stackctl-wan.service"
AGENT_FILE = "/usr/lib/stackctl/wan.py"
CONFIG_FILE = "/etc/stackctl/wan.json"
MARKS_FILE = "/etc/stackctl/nft/wan.nft"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
SYSCTL_FILE = "/etc/sysctl.d/61-stackctl-wan.conf"
NETWORKD_FILE = "/etc/systemd/networkd.conf.d/stackctl-wan.conf"
RESOLVED_FILE = "/etc/systemd/resolved.conf.d/stackctl-wan.conf"
NFTABLES_FILE = "/etc/systemd/system/nftables.service.d/stackctl-wan.conf"
"""Has the distribution's own unit load our table again whenever it flushed all there are."""
DROPINS = "/etc/stackctl/networkd"
"""What networkd is to read about interfaces besides; links beside the files that it has for them lead here."""
ONLINE_FILE = "/etc/systemd/system/systemd-networkd-wait-online.service.d/stackctl.conf"
"""Has a boot wait for one interface and not for all: an uplink may be dead. Behind netplan's own in the alphabet."""
METRICS_FILE = "/var/lib/prometheus/node-exporter/stackctl_wan.prom"
RUN_FOLDER = "/run/stackctl-wan"
TABLE = "stackctl_wan"
"""Name of the nftables table, of the family inet."""
CHECK = ("nft", "-c", "-f", MARKS_FILE)
"""Judges the nftables table."""

_NEXT_HOPS = ("debian-13",)
"""Systems whose networkd knows next hops as things of their own: systemd 256 and later; others warn of the setting."""


@dataclass(frozen=True)
class UplinkSpec:
    """One uplink, nothing left open."""

    name: str
    number: int
    """Its mark, and 200 less than its routing table."""
    interface: str
    gateway: str
    """Address, or `auto`: what the interface's own configuration brings."""
    address: str | None
    gateway6: str | None
    weight: int
    metered: bool
    probing: Mapping[str, float | int]


@dataclass(frozen=True)
class PinSpec:
    """Traffic that keeps to one uplink; `user`, `source` or `mesh` says which."""

    uplink: str
    user: str | None
    source: str | None
    mesh: bool | None = None


@dataclass(frozen=True)
class WanSpec:
    """The uplinks of one host; without any an apply takes away what is there of us."""

    uplinks: tuple[UplinkSpec, ...]
    """The preferred one first."""
    mode: Literal["failover", "weighted"]
    targets: tuple[Mapping[str, str | int], ...]
    quorum: int
    on_degraded: Literal["drain", "cut", "ignore"]
    cut: bool
    failback: Literal["auto", "manual"]
    pins: tuple[PinSpec, ...]
    hook: str | None
    sysctl: Mapping[str, str]
    before: tuple[str, ...]
    """Units that start only after the agent."""
    metrics_of_dhcp: Mapping[str, int]
    """Route metric by interface, where the system's networkd would give all uplinks the same."""
    resolvers: tuple[str, ...] | None
    """Name servers in place of those that DHCP brings; None where there is no systemd-resolved to ask them."""
    next_hops: bool
    """Whether the system's networkd has to be told to leave next hops alone as well."""

    @property
    def config(self) -> dict[str, Any]:
        """What the agent reads, by the three kinds of it."""
        settings = {
            "mode": self.mode,
            "quorum": self.quorum,
            "failback": self.failback,
            "on_degraded": self.on_degraded,
            "cut": self.cut,
            "hook": self.hook,
            "metrics": METRICS_FILE,
        }
        lists = {"targets": self.targets, "pins": [_without_none(asdict(pin)) for pin in self.pins]}
        return {"settings": settings, "lists": lists, "uplinks": [asdict(uplink) for uplink in self.uplinks]}

    @property
    def passing(self) -> frozenset[str]:
        """Kernel settings of interfaces, some of which come and go."""
        names = {uplink.interface for uplink in self.uplinks}
        return frozenset(key for key in self.sysctl for name in names if f"conf{key[3]}{name}{key[3]}" in key)

    @property
    def shared(self) -> frozenset[str]:
        """Interfaces that carry more than one uplink."""
        names = [uplink.interface for uplink in self.uplinks]
        return frozenset(name for name in names if names.count(name) > 1)


@dataclass(frozen=True)
class Files:
    """The capability's files, by what they are for."""

    sysctl: tuple[Artifact, ...]
    marks: tuple[Artifact, ...]
    agent: tuple[Artifact, ...]
    """The agent and its configuration."""
    unit: tuple[Artifact, ...]
    """The agent's, and what is ours in that of nftables."""
    online: tuple[Artifact, ...]
    networkd: tuple[Artifact, ...]
    resolved: tuple[Artifact, ...]

    @property
    def dhcp(self) -> Mapping[str, Artifact]:
        """What networkd is to read besides, by interface."""
        found = [artifact for artifact in self.networkd if artifact.path.startswith(f"{DROPINS}/")]
        return {item.path.removeprefix(f"{DROPINS}/").removesuffix(".conf"): item for item in found}

    @property
    def config(self) -> Artifact:
        """What the agent reads."""
        return next(artifact for artifact in self.agent if artifact.path == CONFIG_FILE)


def resolve(fleet: Fleet, host: str) -> WanSpec | None:
    """The uplinks; None for hosts of which nothing is written about them."""
    wan = fleet.hosts[host].wan
    if wan is None:
        return None
    system = fleet.hosts[host].os
    netplan = system.startswith("ubuntu")
    numbers = wan.numbered()
    return WanSpec(
        uplinks=tuple(_uplink(wan, uplink, numbers[uplink.name]) for uplink in wan.ranked()),
        mode=wan.mode,
        targets=tuple(_target(target) for target in wan.targets),
        quorum=wan.quorum,
        on_degraded=wan.on_degraded,
        cut=wan.cut,
        failback=wan.failback,
        pins=tuple(_pin(pin) for pin in wan.pins),
        hook=wan.hook,
        sysctl=written.kernel_settings(wan),
        before=_before(fleet, host),
        metrics_of_dhcp=_metrics(wan) if netplan else {},
        resolvers=tuple(map(str, wan.resolvers)) if netplan else None,
        next_hops=system in _NEXT_HOPS,
    )


def templates(spec: WanSpec) -> tuple[FileTemplate, ...]:
    """Kernel settings, marks of connections, the agent with its configuration and unit, and what networkd is told."""
    if not spec.uplinks:
        return ()
    agent = files("stackctl.agents").joinpath("wan.py").read_text("utf-8")
    unit = {
        "before": spec.before,
        "agent": AGENT_FILE,
        "config": CONFIG_FILE,
        "marks": MARKS_FILE,
        "run": RUN_FOLDER.rpartition("/")[2],
        "metrics": METRICS_FILE.rpartition("/")[0],
    }
    use = {"use_dns": not spec.resolvers}
    dropins = [
        FileTemplate(f"{DROPINS}/{interface}.conf", "wan/dhcp.network.j2", {"metric": metric, **use})
        for interface, metric in spec.metrics_of_dhcp.items()
    ]
    if spec.resolvers is not None:
        # Empty rather than gone: a file that is no longer written would go on holding.
        dropins.append(FileTemplate(RESOLVED_FILE, "wan/resolved.conf.j2", {"resolvers": spec.resolvers}))
    return (
        FileTemplate(SYSCTL_FILE, "wan/sysctl.conf.j2", {"sysctl": spec.sysctl}),
        FileTemplate(MARKS_FILE, "wan/wan.nft.j2", {"table": TABLE, "marks": marks(spec)}),
        FileTemplate(AGENT_FILE, "wan/wan.py.j2", {"agent": agent}, mode=0o755),
        FileTemplate(CONFIG_FILE, "wan/wan.json.j2", spec.config),
        FileTemplate(UNIT_FILE, "wan/wan.service.j2", unit),
        FileTemplate(NFTABLES_FILE, "firewall/nftables.conf.j2", {"rules": MARKS_FILE}),
        FileTemplate(ONLINE_FILE, "wan/online.conf.j2", {}),
        FileTemplate(NETWORKD_FILE, "wan/networkd.conf.j2", {"next_hops": spec.next_hops}),
        *dropins,
    )


def parted(artifacts: Sequence[Artifact]) -> Files:
    """Rendered files as the deploy needs them, one step after the other."""
    places = {SYSCTL_FILE: "sysctl", MARKS_FILE: "marks", RESOLVED_FILE: "resolved"}
    places |= {AGENT_FILE: "agent", CONFIG_FILE: "agent", UNIT_FILE: "unit"}
    places |= {NFTABLES_FILE: "unit", ONLINE_FILE: "online"}
    found: dict[str, tuple[Artifact, ...]] = dict.fromkeys(Files.__dataclass_fields__, ())
    for artifact in artifacts:
        found[places.get(artifact.path, "networkd")] += (artifact,)
    return Files(**found)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:  # noqa: ARG001
    """It listens on nothing that others reach."""
    return ()


def check(fleet: Fleet) -> Iterator[Problem]:
    """Uplinks that cannot work beside each other, or whose failure nobody could tell."""
    yield from written.problems(fleet)


@dataclass(frozen=True)
class Mark:
    """How connections of an uplink are told from others, as nftables matches them."""

    name: str
    number: str
    """In hexadecimal, as marks are shown."""
    out: tuple[str, ...]
    """Matches of what leaves by it."""
    into: tuple[str, ...]
    """Matches of what comes in by it."""


def marks(spec: WanSpec) -> tuple[Mark, ...]:
    """Two uplinks on one interface are told apart by the next hop and by the address that was asked for."""
    uplinks = sorted(spec.uplinks, key=lambda uplink: uplink.number)
    return tuple(_mark(uplink, shared=uplink.interface in spec.shared) for uplink in uplinks)


def _mark(uplink: UplinkSpec, *, shared: bool) -> Mark:
    one = f'"{uplink.interface}"'
    if not shared:
        return Mark(uplink.name, f"{uplink.number:#x}", (f"oifname {one}",), (f"iifname {one}",))
    out = [f"oifname {one} rt ip nexthop {uplink.gateway}"]
    if uplink.gateway6 is not None:
        out.append(f"oifname {one} rt ip6 nexthop {uplink.gateway6}")
    into = [] if uplink.address is None else [f"iifname {one} ip daddr {uplink.address}"]
    return Mark(uplink.name, f"{uplink.number:#x}", tuple(out), tuple(into))


def _uplink(wan: Wan, uplink: Uplink, number: int) -> UplinkSpec:
    return UplinkSpec(
        name=uplink.name,
        number=number,
        interface=uplink.interface,
        gateway=str(uplink.gateway),
        address=None if uplink.address is None else str(uplink.address.ip),
        gateway6=None if uplink.gateway6 is None else str(uplink.gateway6),
        weight=uplink.weight,
        metered=uplink.metered,
        probing=resolved(uplink.profile or wan.profile, wan.probing),
    )


def _target(target: Target) -> dict[str, str | int]:
    if target.tcp is not None:
        address, _, port = target.tcp.rpartition(":")
        return {"method": "tcp", "address": address, "port": int(port)}
    if target.dns is not None:
        return {"method": "dns", "address": str(target.dns)}
    return {"method": "icmp", "address": str(target.icmp)}


def _pin(pin: Pin) -> PinSpec:
    return PinSpec(pin.uplink, pin.user, None if pin.source is None else str(pin.source), pin.mesh)


def _before(fleet: Fleet, host: str) -> tuple[str, ...]:
    own = ["cloudflared.service", "docker.service"]
    mesh = fleet.network.mesh
    if fleet.hosts[host].mesh is not None and mesh is not None and mesh.backend == "wireguard":
        own.append(f"wg-quick@{mesh.device}.service")
    return tuple(own)


def _metrics(wan: Wan) -> dict[str, int]:
    """The preferred one has the lowest; before the agent runs, and without it, the kernel goes by them."""
    interfaces = dict.fromkeys(uplink.interface for uplink in wan.ranked())
    return {name: 100 * place for place, name in enumerate(interfaces, start=1)}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
