"""What a change of the inventory does to the hosts: two renderings compared, and no host asked."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stackctl.capabilities.firewall import FirewallSpec
from stackctl.capabilities.gateway import GatewaySpec
from stackctl.capabilities.gpu import GpuSpec
from stackctl.capabilities.serving import ServingSpec
from stackctl.capabilities.wan import WanSpec
from stackctl.capabilities.weights import WeightsSpec
from stackctl.core.artifact import Artifact
from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.plan.change import Action, FileChange
from stackctl.plan.compare import compare_rendered
from stackctl.plan.containers import containers, unchanged
from stackctl.plan.delta import record, shown
from stackctl.plan.difference import Difference, listed, settings
from stackctl.plan.drivers import drivers, on_gpus, replaced
from stackctl.plan.ports import ports
from stackctl.plan.routes import routes
from stackctl.plan.uplinks import left, uplinks
from stackctl.plan.weights import weights
from stackctl.schema.fleet import Fleet

_Spec = TypeVar("_Spec")
_HOST = "host"
"""Heads what is a host's own and no capability's: its roles and the way in."""
_ENOUGH = 2
"""Replicas that stay, of which one goes on answering while the other is replaced; one that nothing happens to counts so."""
_NOT_THE_WAY_IN = ("host", "known_hosts")


@dataclass(frozen=True)
class Side:
    """One of the two inventories, rendered; without a fleet the environment is not in it."""

    name: str
    """`HEAD`, `working tree`."""
    fleet: Fleet | None = None
    jobs: tuple[Job, ...] = ()
    deploys: Mapping[str, str] = field(default_factory=dict)
    """The project's own deploys: text by path."""


@dataclass(frozen=True)
class PartReview:
    """What differs of one capability of a host."""

    capability: str
    differences: tuple[Difference, ...] = ()
    files: tuple[FileChange, ...] = ()
    left: tuple[str, ...] = ()
    """Files that are no longer written; an apply leaves them where they are."""


@dataclass(frozen=True)
class HostReview:
    """What differs of one host."""

    host: str
    action: Action
    """Whether the host joins the inventory, changes in it or goes from it."""
    parts: tuple[PartReview, ...]


@dataclass(frozen=True)
class Interruption:
    """A model that was served and has no replica that goes on running through the change."""

    model: str
    seconds: int
    """How long it may take until the first replica answers again; 0: it is placed nowhere any more."""
    hosts: tuple[str, ...]
    """Where its replicas were and will be."""


@dataclass(frozen=True)
class Review:
    """All that differs between two inventories of an environment; hosts and models in name order."""

    environment: str
    before: str
    after: str
    hosts: tuple[HostReview, ...]
    interruptions: tuple[Interruption, ...]
    deploys: tuple[FileChange, ...]
    """The project's own deploys that differ: their steps are known only to a plan."""
    deploys_gone: tuple[str, ...]
    """Own deploys that are no longer there: the stock ones are used instead."""

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.hosts or self.deploys or self.deploys_gone)


def review(environment: str, before: Side, after: Side) -> Review:
    """Everything that the step from one side to the other does."""
    sides = (before.name, after.name)
    old, new = ({job.host: job for job in side.jobs} for side in (before, after))
    hosts = (_host(name, before, after, old.get(name), new.get(name)) for name in sorted({*old, *new}))
    texts = (compare_rendered(*_scripts(before, after, path), sides) for path in sorted(after.deploys))
    return Review(
        environment,
        before.name,
        after.name,
        hosts=tuple(host for host in hosts if host.parts),
        interruptions=tuple(_interruptions(before, after)),
        deploys=tuple(change for change in texts if change is not None),
        deploys_gone=tuple(sorted(set(before.deploys) - set(after.deploys))),
    )


def _host(name: str, before: Side, after: Side, old: Job | None, new: Job | None) -> HostReview:
    action: Action = "add" if old is None else "remove" if new is None else "change"
    own = tuple(_own(name, before, after, old, new))
    old_parts, new_parts = (
        {part.capability: part for part in job.parts} if job else {} for job in (old, new)
    )
    names = dict.fromkeys((*new_parts, *old_parts))
    sides = (before.name, after.name)
    parts = [
        _part(capability, old_parts.get(capability), new_parts.get(capability), sides) for capability in names
    ]
    kept = (part for part in (PartReview(_HOST, own), *parts) if part != PartReview(part.capability))
    return HostReview(name, action, tuple(kept))


def _own(name: str, before: Side, after: Side, old: Job | None, new: Job | None) -> Iterator[Difference]:
    yield from listed("roles", _roles(before, name), _roles(after, name))
    if old is None and new is not None:
        yield from listed("ssh address", None, new.connection.address)
    elif old is not None and new is not None:
        wanted = _way_in(new.connection)
        for field, value in _way_in(old.connection).items():
            yield from listed(f"ssh {field}", value, wanted[field])


def _way_in(connection: Connection) -> dict[str, str | None]:
    """As a whole each: the order of jumps matters, and so does every key that is trusted."""
    parts = {field: value for field, value in record(connection).items() if field not in _NOT_THE_WAY_IN}
    return {field: None if value in (None, ()) else shown(value) for field, value in parts.items()}


def _roles(side: Side, host: str) -> tuple[str, ...]:
    wanted = side.fleet.hosts.get(host) if side.fleet else None
    return wanted.roles if wanted else ()


def _part(capability: str, old: Part | None, new: Part | None, sides: tuple[str, str]) -> PartReview:
    old_files, new_files = ({file.path: file for file in part.files} if part else {} for part in (old, new))
    changes = (compare_rendered(old_files.get(path), file, sides) for path, file in new_files.items())
    return PartReview(
        capability,
        tuple(_differences(old.spec if old else None, new.spec if new else None)),
        tuple(change for change in changes if change is not None),
        () if _taken_away(new) else tuple(path for path in old_files if path not in new_files),
    )


def _taken_away(part: Part | None) -> bool:
    """Whether an apply removes what it does not write any more."""
    return part is not None and isinstance(part.spec, WanSpec) and not part.spec.uplinks


def _differences(before: Any, after: Any) -> Iterator[Difference]:
    if after is None and isinstance(before, WanSpec):
        yield left(before)
    elif after is None:
        names = tuple(before.project.services) if isinstance(before, ServingSpec) else ()
        note = "no longer managed: an apply leaves what it set up as it is"
        yield Difference("remove", "containers" if names else "everything", items=names, note=note)
    elif isinstance(after, ServingSpec):
        yield from containers(before, after)
    elif isinstance(after, GpuSpec):
        yield from drivers(before, after)
    elif isinstance(after, GatewaySpec):
        yield from routes(before, after)
    elif isinstance(after, WanSpec):
        yield from uplinks(before, after)
    elif isinstance(after, FirewallSpec):
        yield from ports(before, after)
    elif isinstance(after, WeightsSpec):
        yield from weights(before, after)
    else:
        yield from settings(before, after)


def _interruptions(before: Side, after: Side) -> Iterator[Interruption]:
    """Models that nobody answers for a while; one that an apply no longer manages is not routed to.

    Replicas are replaced one after another, so that of two that stay where they are one always answers.
    """
    old, new = _specs(before, ServingSpec) if after.fleet else {}, _specs(after, ServingSpec)
    was, becomes = _specs(before, GpuSpec), _specs(after, GpuSpec)
    down = {host for host, spec in old.items() if replaced(was.get(host), becomes.get(host))}
    survivors: Counter[str] = Counter()
    for host, spec in old.items():
        alike, stays = unchanged(spec, new.get(host)), _services(new.get(host))
        falling = on_gpus(spec) if host in down else frozenset()
        # A host whose driver is replaced takes all that it has on GPUs down at once.
        together = {item.model for item in spec.running if item.service in falling and item.service in stays}
        survivors.update(together)
        apart = [item for item in spec.running if item.service in stays and item.service not in falling]
        survivors.update(item.model for item in apart if item.service not in alike)
        survivors.update({item.model: _ENOUGH for item in apart if item.service in alike})
    for model in sorted({item.model for spec in old.values() for item in spec.running}):
        if survivors[model] < _ENOUGH:
            placed = _placed(new, model)
            hosts = tuple(sorted({*_placed(old, model), *placed}))
            yield Interruption(model, max(placed.values(), default=0), hosts)


def _services(spec: ServingSpec | None) -> frozenset[str]:
    return frozenset() if spec is None else frozenset(spec.project.services)


def _placed(serving: Mapping[str, ServingSpec], model: str) -> dict[str, int]:
    """Seconds that a replica of the model may take to start, by host."""
    found = ((host, item) for host, spec in serving.items() for item in spec.running)
    return {host: item.start_seconds for host, item in found if item.model == model}


def _specs(side: Side, kind: type[_Spec]) -> dict[str, _Spec]:
    found = ((job.host, part.spec) for job in side.jobs for part in job.parts)
    return {host: spec for host, spec in found if isinstance(spec, kind)}


def _scripts(before: Side, after: Side, path: str) -> tuple[Artifact | None, Artifact]:
    old = before.deploys.get(path)
    return None if old is None else Artifact(path, old), Artifact(path, after.deploys[path])
