"""Any other server in a container that answers HTTP."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.form import AbsolutePath, Form, Size, UrlPath
from stackctl.servers.api import Api
from stackctl.servers.base import (
    Endpoint,
    Launch,
    LocalWeights,
    Server,
    once_each,
)
from stackctl.servers.in_clear import arguments_without_secrets

VolumeName = Annotated[str, Form(r"[a-z0-9][a-z0-9-]*", "lower-case letters, digits and hyphens")]
UserAndGroup = Annotated[
    str, Form(r"[a-z0-9_-]+(:[a-z0-9_-]+)?", "a user, or `USER:GROUP`, names or numbers")
]


def _arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    arguments_without_secrets(arguments)
    return arguments


class Custom(Server):
    """A server of your own or another project's: text to speech, images, whatever answers HTTP."""

    server: Literal["custom"]
    """`custom`."""
    api: Annotated[tuple[Api, ...], AfterValidator(once_each)] = ()
    """APIs that the model answers, where they are among these; `paths` has those of its own."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Where it listens inside its container, and on the host unless the placement says otherwise."""
    health: UrlPath = "/health"
    """Path that answers 200 once the model is loaded; the gateway sends nothing before."""
    metrics: UrlPath | None = None
    """Path of its Prometheus metrics, where it has any."""
    weights: LocalWeights | None = None
    """Directory below the host's `weights`, seen in the container as /weights/ and the same path."""
    entrypoint: Annotated[tuple[str, ...], AfterValidator(_arguments)] = ()
    """Program and first arguments in place of the image's own."""
    args: Annotated[tuple[str, ...], AfterValidator(_arguments)] = ()
    """Arguments after the image's entry point."""
    volumes: Mapping[VolumeName, AbsolutePath] = Field(default_factory=dict)
    """Directories in the container that outlive it, such as a cache, by a name of your choice."""
    tmpfs: Annotated[tuple[AbsolutePath, ...], AfterValidator(once_each)] = ()
    """Directories in the container that are kept in memory, and empty at every start."""
    shm_size: Size | None = None
    """Size of /dev/shm, `1G`, for programs of several processes; 64M when unset."""
    user: UserAndGroup | None = None
    """Whom it runs as; unset: the image's user."""
    read_only: bool = False
    """Let it write to its `volumes` and `tmpfs` alone."""
    confined: bool = False
    """Take the rights from it that Docker gives to root in a container, and the way to more."""
    max_requests: Annotated[int, Field(ge=1)] | None = None
    """Requests it works on at the same time; the gateway queues what exceeds it by a quarter."""
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How long it may go on answering what it has begun when the container stops."""

    @model_validator(mode="after")
    def _answers_something(self) -> "Custom":
        if not (self.api or self.paths or self.reads):
            raise PydanticCustomError("custom", "answers nothing; name its `api`, or `paths` of its own")
        return self

    @property
    def devices_needed(self) -> None:
        """As many as the placement gives."""
        return

    def endpoint(self) -> Endpoint:
        """As written."""
        return Endpoint(self.port, self.health, self.metrics, self.max_requests)

    def launch(self, name: str) -> Launch:  # noqa: ARG002 - the contract's; this kind learns no name
        """As written."""
        return Launch(
            command=self.args,
            environment={},
            stop_seconds=self.stop_seconds,
            start_seconds=self.start_seconds,
            curl=False,
            shared_memory=self.shm_size,
            volumes=self.volumes,
            entrypoint=self.entrypoint,
            user=self.user,
            temporary=self.tmpfs,
            read_only=self.read_only,
            confined=self.confined,
        )
