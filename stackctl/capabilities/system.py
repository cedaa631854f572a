"""The machine itself: packages, names, clock, kernel settings."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem

SYSCTL_FILE = "/etc/sysctl.d/60-stackctl.conf"
TIME_FILE = "/etc/systemd/timesyncd.conf.d/stackctl.conf"

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PACKAGES = ("ca-certificates", "curl")
_TIME_PACKAGE = "systemd-timesyncd"
_SYSCTL = {
    # A gateway accepts bursts of connections; the kernel cuts every listen queue to this.
    "net.core.somaxconn": "4096",
    # Gateways and containers bind the host's address, at boot perhaps before the network has come up.
    "net.ipv4.ip_nonlocal_bind": "1",
}


@dataclass(frozen=True)
class SystemSpec:
    """One host's ground to stand on."""

    os: str
    hostname: str
    packages: tuple[str, ...]
    names: tuple[str, ...]
    """Lines for the hosts file, the same on every host."""
    timesyncd: bool
    """Whether systemd-timesyncd keeps the clock; else something outside does."""
    time_servers: tuple[str, ...]
    sysctl: Mapping[str, str]


def resolve(fleet: Fleet, host: str) -> SystemSpec:
    """Every host has this capability."""
    wanted = fleet.hosts[host]
    timesyncd = wanted.system.time == "timesyncd"
    own = (*_PACKAGES, *([_TIME_PACKAGE] if timesyncd else []))
    return SystemSpec(
        os=wanted.os,
        hostname=wanted.system.hostname or host,
        packages=_packages(own, wanted.system.packages),
        names=_names(fleet),
        timesyncd=timesyncd,
        time_servers=wanted.system.time_servers if timesyncd else (),
        sysctl=dict(sorted({**_SYSCTL, **wanted.system.sysctl}.items())),
    )


def templates(spec: SystemSpec) -> tuple[FileTemplate, ...]:
    """Kernel settings, and time servers where there are any."""
    files = [FileTemplate(SYSCTL_FILE, "system/sysctl.conf.j2", {"sysctl": spec.sysctl})]
    if spec.time_servers:
        values = {"servers": spec.time_servers}
        files.append(FileTemplate(TIME_FILE, "system/timesyncd.conf.j2", values))
    return tuple(files)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:  # noqa: ARG001
    """It listens on nothing that others reach."""
    return ()


def check(fleet: Fleet) -> Iterator[Problem]:
    """Host names that two hosts would call themselves, and time servers that nobody would ask."""
    owners: dict[str, str] = {}
    for name, host in fleet.hosts.items():
        own = host.system.hostname or name
        owner = owners.setdefault(own, name)
        if owner != name:
            key = ("hosts", name, *(("system", "hostname") if host.system.hostname else ()))
            yield Problem(key, f"`{own}` is already what {owner} calls itself", "choose another `hostname`")
        if host.system.time_servers and host.system.time == "external":
            key = ("hosts", name, "system", "time_servers")
            what = "is given, but the clock is kept from outside"
            yield Problem.at(*key, what=what, hint="take out `time: external` or the servers")
    yield from _model_names(fleet)


def _packages(own: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Each package once, as the inventory has it where it has it: pinned perhaps."""
    return tuple(sorted({item.partition("=")[0]: item for item in (*own, *wanted)}.values()))


def _names(fleet: Fleet) -> tuple[str, ...]:
    """Hosts at the addresses at which they serve; models at their gateways, whose address a name of theirs is."""
    domain = fleet.network.domain
    hosts = ((fleet.inside(name), f"{name}.{domain} {name}") for name in fleet.hosts)
    more = ((address, name) for name, address in fleet.network.names.items())
    models = (
        (fleet.inside(gateway), f"{model}.{domain}")
        for gateway in fleet.with_role("gateway")
        for model in _named_models(fleet)
    )
    return tuple(f"{address} {names}" for address, names in sorted([*hosts, *more, *models]))


def _named_models(fleet: Fleet) -> Iterator[str]:
    """Placed models that a host can be called by, where the fleet has a mesh."""
    if fleet.network.mesh is not None:
        placed = (model for model, placements in sorted(fleet.placements.items()) if placements)
        yield from (model for model in placed if _HOST_NAME.fullmatch(model))


def _model_names(fleet: Fleet) -> Iterator[Problem]:
    """Names that would lead to a host in one place and to the gateways in another."""
    if fleet.network.mesh is None or not fleet.with_role("gateway"):
        return
    for model, placements in fleet.placements.items():
        name, key = f"{model}.{fleet.network.domain}", ("placements", model)
        if model in fleet.hosts:
            what = f"`{model}` is also a host, and {name} can lead to one of them alone"
            yield Problem(key, what, "call the model or the host otherwise")
        elif name in fleet.network.names:
            what = f"{name} leads to the gateways, and `network.names` has it already"
            yield Problem(("network", "names", name), what, "take it out there")
        elif placements and not _HOST_NAME.fullmatch(model):
            what = f"`{model}` cannot be part of a host's name, so that there is no {name}"
            hint = "use its URL at the gateway, or a name of letters, digits and hyphens"
            yield Problem(key, what, hint, severity="warning")
