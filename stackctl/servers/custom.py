"""Any other server in a container that answers HTTP."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import AbsolutePath, Form, UrlPath
from stackctl.servers.base import Endpoint, Launch, LocalWeights, Server, arguments_without_secrets

VolumeName = Annotated[str, Form(r"[a-z0-9][a-z0-9-]*", "lower-case letters, digits and hyphens")]


def _arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    arguments_without_secrets(arguments)
    return arguments


class Custom(Server):
    """A server of your own or another project's: text to speech, images, whatever answers HTTP."""

    server: Literal["custom"]
    """`custom`."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Where it listens inside its container, and on the host unless the placement says otherwise."""
    health: UrlPath = "/health"
    """Path that answers 200 once the model is loaded; the gateway sends nothing before."""
    metrics: UrlPath | None = None
    """Path of its Prometheus metrics, where it has any."""
    weights: LocalWeights | None = None
    """Directory below the host's `weights`, seen in the container as /weights/ and the same path."""
    args: Annotated[tuple[str, ...], AfterValidator(_arguments)] = ()
    """Arguments after the image's entry point."""
    volumes: Mapping[VolumeName, AbsolutePath] = Field(default_factory=dict)
    """Directories in the container that outlive it, such as a cache, by a name of your choice."""
    max_requests: Annotated[int, Field(ge=1)] | None = None
    """Requests it works on at the same time; the gateway queues what exceeds it by a quarter."""
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How long it may go on answering what it has begun when the container stops."""

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
            volumes=self.volumes,
        )
