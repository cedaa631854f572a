"""All that is asked for, one after another; what one registry or hub refuses does not hinder the others."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from stackctl.core.finding import FindingsError
from stackctl.core.secret import SecretRef
from stackctl.plan.locks import Answers
from stackctl.schema.fleet import Fleet
from stackctl.schema.image import Locked
from stackctl.schema.weights import HUB
from stackctl.upstream.login import Login
from stackctl.upstream.reference import parsed
from stackctl.upstream.registry import ImageRegistry

T = TypeVar("T")


@dataclass(frozen=True)
class Hub:
    """The model hub, or what takes its place."""

    endpoint: str = HUB
    token: SecretRef | None = None
    """Where the token for private and gated repositories is found; without one, `env:HF_TOKEN` if it is set."""


@dataclass(frozen=True)
class Access:
    """How registries and hubs are reached, by all environments together."""

    logins: Mapping[str, tuple[Login, ...]] = field(default_factory=dict)
    """By registry."""
    insecure: frozenset[str] = frozenset()
    """Registries without TLS that one can trust."""
    hubs: tuple[Hub, ...] = (Hub(),)
    """Each once, those that an environment names first."""


def access(fleets: Iterable[Fleet]) -> Access:
    """What the environments say of registries and hubs."""
    listed = tuple(fleets)
    engines = [host.docker for fleet in listed for host in fleet.hosts.values()]
    logins: dict[str, set[Login]] = {}
    for engine in engines:
        for registry, login in engine.registries.items():
            logins.setdefault(registry, set()).add(Login(login.user, login.password))
    hubs = dict.fromkeys(Hub(fleet.weights.endpoint or HUB, fleet.weights.token) for fleet in listed)
    return Access(
        {registry: tuple(sorted(each)) for registry, each in logins.items()},
        frozenset(registry for engine in engines for registry in engine.insecure_registries),
        tuple(sorted(hubs, key=lambda hub: hub == Hub())) or (Hub(),),
    )


class ImageRegistries:
    """Every registry that is asked, reached once."""

    def __init__(self, reached: Access) -> None:
        self._access = reached
        self._registries: dict[str, ImageRegistry] = {}

    def close(self) -> None:
        """Let go of all connections."""
        for registry in self._registries.values():
            registry.close()

    def locked(self, image: str, known: Locked | None = None) -> Locked:
        """What an image's tag is at the moment."""
        wanted = parsed(image)
        name = wanted.registry
        if name not in self._registries:
            logins = self._access.logins.get(name, ())
            insecure = name in self._access.insecure
            self._registries[name] = ImageRegistry(name, logins, insecure=insecure)
        return self._registries[name].locked(wanted, known)


def answers(names: Iterable[str], ask: Callable[[str], T]) -> tuple[Answers[T], tuple[FindingsError, ...]]:
    """What `ask` says of each name, and why there is no answer to some."""
    listed = tuple(names)
    found: dict[str, T] = {}
    failures: list[FindingsError] = []
    for name in listed:
        try:
            found[name] = ask(name)
        except FindingsError as error:
            failures.append(error)
    return Answers(found, tuple(name for name in listed if name not in found)), tuple(failures)
