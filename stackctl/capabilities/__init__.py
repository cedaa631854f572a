"""What a host can be made to do: one module each, resolved for one host at a time.

A capability is the modules of its name in `schema`, `capabilities`, `deploys` and `templates`, a field on
`Host` or `Environment`, and a place in `ORDER`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stackctl.capabilities import docker, firewall, gateway, gpu, mesh, serving, system, wan, weights
from stackctl.core.artifact import FileTemplate
from stackctl.core.finding import Finding
from stackctl.core.job import Standing
from stackctl.core.opening import Opening
from stackctl.schema import lock
from stackctl.schema.fleet import Fleet
from stackctl.schema.load import load_with_warnings
from stackctl.schema.problem import Problem


class Capability(Protocol):
    """What every module of this package offers."""

    __name__: str

    def resolve(self, fleet: Fleet, host: str) -> Any:
        """All that the host must be; None where the capability is not for it."""

    def templates(self, spec: Any) -> tuple[FileTemplate, ...]:
        """The files of ours that this takes."""

    def openings(self, fleet: Fleet, host: str) -> tuple[Opening, ...]:
        """The ports that it listens on there: named once, and the firewall follows."""

    def check(self, fleet: Fleet) -> Iterable[Problem]:
        """What the whole fleet shows to be wrong."""


ORDER: tuple[Capability, ...] = (
    system,  # packages and names that all others need
    wan,  # the ways out, before all that takes them
    mesh,  # the addresses that all that follows is reached at
    firewall,  # closed before anything listens
    gpu,  # the driver before the containers that need it
    docker,  # the engine before what runs in it
    weights,  # on the host before a server is stopped for them
    serving,  # replicas answer before a gateway sends them requests
    gateway,  # requests are let in last
)


@dataclass(frozen=True)
class HostSpec:
    """All that one host must be, no choice left open."""

    host: str
    parts: tuple[tuple[str, Any], ...]
    """Capability and its own specification, in order."""


def name_of(capability: Capability) -> str:
    """`serving`; also the name of its deploy and of its folder of templates."""
    return capability.__name__.rpartition(".")[2]


def resolve_host(fleet: Fleet, host: str) -> HostSpec:
    """Every capability's answer for one host, those that are not for it left out."""
    answers = ((name_of(capability), capability.resolve(fleet, host)) for capability in ORDER)
    return HostSpec(host, tuple((name, spec) for name, spec in answers if spec is not None))


def standing(fleet: Fleet, host: str) -> Standing:
    """Gateways come after the models they send requests to; a host with both roles waits for none."""
    roles = fleet.hosts[host].roles
    models = frozenset(fleet.with_role("models"))
    carriers = {
        model: len({placement.host for placement in fleet.placements[model]}) for model, _ in fleet.on(host)
    }
    return Standing(
        models if "gateway" in roles and host not in models else frozenset(),
        {model: count for model, count in carriers.items() if count > 1},
    )


def check(fleet: Fleet) -> Iterator[Problem]:
    """What all capabilities have to say of a fleet."""
    for capability in ORDER:
        yield from capability.check(fleet)


def load_fleet(project: Path, environment: str) -> Fleet:
    """An environment that every capability agrees with; FindingsError has all that is wrong."""
    return load_fleet_with_warnings(project, environment)[0]


def load_fleet_with_warnings(project: Path, environment: str) -> tuple[Fleet, tuple[Finding, ...]]:
    """Like `load_fleet`, with the findings that do not stand in the way."""
    return load_with_warnings(project, environment, (check, lock.check))
