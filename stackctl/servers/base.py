"""What all kinds of model servers have in common, and the contract between them and the hosts."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from stackctl.core.form import (
    Architecture,
    CudaVersion,
    EnvironmentVariable,
    Form,
    ImageName,
    SecretName,
    Size,
    TextOrNumber,
    UrlPath,
)
from stackctl.core.model import Model
from stackctl.fit.sizing import Sizing
from stackctl.servers.api import Api
from stackctl.servers.in_clear import holds_secret, secret_in_clear, smells_of_secret
from stackctl.servers.unknown import Unknown

KINDS = frozenset({"<local>", "<hub>", "<text>", "<secret>", "<digest>", "<image>"})
"""How pydantic's errors name the branch of a union; no step of an inventory's own."""


FilePattern = Annotated[
    str, Form(r"[A-Za-z0-9_@+=*?\[\]!./-]+", "a path in the repository, with `*` and `?` for what differs")
]


class LocalWeights(Model):
    """Weights that are on the host already."""

    path: Annotated[
        str,
        Form(
            r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*",
            "a path below the host's weights directory, without `..`",
        ),
    ]
    """Directory below the host's `weights`; mounted read-only, and the server stays off the internet."""


class HubWeights(Model):
    """Weights of a repository on the model hub, which hosts fetch as `weights.lock` has them."""

    repo: Annotated[str, Form(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", "`owner/name` as on the model hub")]
    """Repository on the model hub."""
    revision: Annotated[
        str, Form(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*", "a branch, a tag or a commit")
    ] = "main"
    """Branch, tag or commit; `weights.lock` pins it to a commit and every file of that."""
    files: tuple[FilePattern, ...] = ()
    """Which files of it are fetched, `["*.json", "model-*.safetensors"]`, where the usual ones are too many or few.

    Usual is all but hidden files, papers, pictures and, beside safetensors, weights in other formats.
    """


def _kind_of_weights(value: Any) -> str:
    return "<hub>" if isinstance(value, dict) and {"repo", "revision"} & set(value) else "<local>"


Weights = Annotated[
    Annotated[LocalWeights, Tag("<local>")] | Annotated[HubWeights, Tag("<hub>")],
    Discriminator(_kind_of_weights),
]


class NamedSecret(Model):
    """A value that each environment takes from its own `secrets`."""

    secret: SecretName
    """Name under `secrets` of the environment; the value may hold no single quote and no line break."""


def _kind_of_value(value: Any) -> str:
    return "<secret>" if isinstance(value, dict | NamedSecret) else "<text>"


EnvironmentValue = Annotated[
    Annotated[TextOrNumber, Tag("<text>")] | Annotated[NamedSecret, Tag("<secret>")],
    Discriminator(_kind_of_value),
]


def _without_secrets(
    values: Mapping[str, EnvironmentValue],
) -> Mapping[str, EnvironmentValue]:
    for name, value in values.items():
        if isinstance(value, str) and value and (smells_of_secret(name) or holds_secret(value)):
            raise secret_in_clear(
                name, instead="`{secret: NAME}`, with NAME under `secrets` of each environment"
            )
    return values


EnvironmentVariables = Annotated[
    Mapping[EnvironmentVariable, EnvironmentValue], AfterValidator(_without_secrets)
]


def once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a value that stands twice in a list."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError("twice", "stands twice", {"at": (index,)})
    return values


@dataclass(frozen=True)
class WarmUp:
    """A small request that a server answers more slowly the first time than ever after."""

    path: str
    fields: Mapping[str, str | int]
    """The JSON body, to which `model` is added."""


@dataclass(frozen=True)
class Endpoint:
    """How a server is talked to."""

    port: int
    """Where it listens in its container, and on the host's address unless the placement says otherwise."""
    health_path: str
    """Answers 200 once the model is loaded."""
    metrics_path: str | None
    """Prometheus metrics; None: it has none."""
    max_requests: int | None
    """Requests it works on at the same time; None: it does not say."""
    refuses_path: str | None = None
    """Takes `{"model": ..., "prompt": ...}` and answers 500 once the server has been told to stop.

    For servers whose health path goes on answering 200 until they are gone; None: the health path tells.
    """
    warm_up: WarmUp | None = None
    """Sent once to a replica that has been updated, before it gets requests again; None: its health is enough."""


@dataclass(frozen=True)
class Launch:
    """How a server's container is started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    """What the kind of server needs; what a person wrote wins over it."""
    stop_seconds: int
    """How long after being told to stop it may go on answering what it has begun."""
    start_seconds: int
    """How long it may take to answer its first health check, weights loaded."""
    curl: bool
    """Whether the image has curl, for a health check from inside."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Limits of its processes by Docker's names for them, where the engine's own are too low; -1: none."""
    shared_memory: str | None = None
    """Size of /dev/shm; None: Docker's 64M are enough."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Places in the container that outlive it, by name."""
    entrypoint: tuple[str, ...] = ()
    """Program in place of the image's own; empty: the image's."""
    weights_at: str | None = None
    """Where the container looks for its weights; None: below /weights."""
    more_weights: tuple[str, ...] = ()
    """Further directories below the host's `weights`, seen at the same path below /weights."""
    user: str | None = None
    """User and group that it runs as; None: the image's."""
    temporary: tuple[str, ...] = ()
    """Places in the container that are kept in memory, and empty at every start."""
    read_only: bool = False
    """Whether it may write to its volumes and temporary places alone."""
    confined: bool = False
    """Whether it goes without the rights that Docker gives to root in a container."""


class Server(Model):
    """What every entry of the catalogue says, whatever its kind."""

    image: ImageName
    """Container image with its version. `images.lock` pins it to a digest."""
    api: Annotated[tuple[Api, ...], Field(min_length=1), AfterValidator(once_each)]
    """APIs that the model answers; the gateway refuses the paths of all others."""
    paths: Annotated[tuple[UrlPath, ...], AfterValidator(once_each)] = ()
    """Paths besides those of `api` that requests may POST to, such as `/v1/messages`."""
    reads: Annotated[tuple[UrlPath, ...], AfterValidator(once_each)] = ()
    """Paths that requests may GET, as /m/NAME/PATH, such as `/v1/audio/voices`."""
    weights: Weights | None = None
    """Where the weights are; leave out when they are in the image."""
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    """Processors that it may take of its host; unset: all."""
    memory: Size | None = None
    """Memory of the host that it may take, such as `64G`, above which it is killed; unset: all."""
    env: EnvironmentVariables = Field(default_factory=dict)
    """Environment variables of the container; a secret is written `{secret: NAME}`."""
    start_seconds: Annotated[int, Field(ge=10, le=86400)] = 1800
    """How long it may take to start, weights loaded. Raise it for weights of hundreds of gigabytes."""
    cuda: CudaVersion | None = None
    """CUDA that the image was built with, which the driver of every host it is placed on is compared with.

    Wins over what `images.lock` says of the image."""
    architectures: Annotated[tuple[Architecture, ...], AfterValidator(once_each)] = ()
    """What the image was compiled for, `[sm_80, sm_90+PTX]`, which every GPU it is placed on is compared with.

    Wins over what `images.lock` says of the image; empty where nobody knows."""

    @property
    @abstractmethod
    def devices_needed(self) -> int | None:
        """How many devices one replica runs on; None: as many as the placement gives."""

    @property
    def memory_share(self) -> float | None:
        """Share of each GPU's memory it takes; None: it does not say."""
        return None

    @property
    def sizing(self) -> Sizing | None:
        """What its arguments have to do with memory; None: how it takes memory is not known."""
        return None

    def unsizable(self, sizes: Mapping[str, int]) -> tuple[str, ...]:
        """Those of a placement's sizes that this kind has no setting for."""
        return tuple(name for name in sizes if name not in type(self).model_fields)

    def sized(self, sizes: Mapping[str, int]) -> Self:
        """The same server with a placement's sizes in place of the catalogue's; the unsizable are left out."""
        known = {name: value for name, value in sizes.items() if name in type(self).model_fields}
        return self.model_copy(update=known) if known else self

    @property
    def own_paths(self) -> tuple[str, ...]:
        """Paths besides those of `api` that the gateway lets POST requests through to."""
        return self.paths

    def unknown(self) -> Iterable[Unknown]:
        """Arguments and choices that its program does not take, as far as that is known."""
        return ()

    @abstractmethod
    def endpoint(self) -> Endpoint:
        """How a replica is talked to."""

    @abstractmethod
    def launch(self, name: str) -> Launch:
        """How the container of a replica of the model called `name` is started."""

    @property
    def secret_names(self) -> tuple[tuple[str, str], ...]:
        """Variable and name of each secret it needs from its environment."""
        return tuple((key, value.secret) for key, value in self.env.items() if isinstance(value, NamedSecret))
