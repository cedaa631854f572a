"""Kokoro-FastAPI: text to speech with a small model that is part of the image.

Read in its config.py in 2026-11: its settings are environment variables. Paths, port and image names are those of its
documentation; it has no metrics, so that the gateway's are all there are.
"""

from typing import Annotated, Literal

from pydantic import Field

from stackctl.core.form import Form, UrlPath
from stackctl.servers.api import Api
from stackctl.servers.base import Endpoint, Launch, Server

_PORT = 8880


class Kokoro(Server):
    """Text to speech by Kokoro; its images are `kokoro-fastapi-gpu` and `kokoro-fastapi-cpu`."""

    server: Literal["kokoro"]
    """`kokoro`."""
    api: tuple[Api, ...] = ("speech",)
    """`[speech]`, which is all that it answers."""
    reads: tuple[UrlPath, ...] = ("/v1/audio/voices",)
    """Paths that requests may GET, as /m/NAME/PATH; by itself the list of voices."""
    weights: None = None
    """None: they are in the image."""
    default_voice: Annotated[str, Form(r"[a-z0-9_+().]+", "a voice's name, such as `af_heart`")] | None = None
    """Voice of requests that name none."""
    web_player: bool = False
    """Serve its page for trying out voices too, on the host's port; the gateway lets nobody through to it."""
    max_requests: Annotated[int, Field(ge=1)] = 4
    """Requests it works on at the same time; the gateway queues what exceeds it by a quarter."""
    start_seconds: Annotated[int, Field(ge=10, le=86400)] = 300
    """How long it may take to start, its model loaded."""
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """How long it may go on answering what it has begun when the container stops."""

    @property
    def devices_needed(self) -> int:
        """It knows no other way."""
        return 1

    def endpoint(self) -> Endpoint:
        """Told to stop, it takes no more connections and ends those it has."""
        return Endpoint(_PORT, "/health", None, self.max_requests)

    def launch(self, name: str) -> Launch:  # noqa: ARG002 - the contract's; this kind learns no name
        """All of it is environment."""
        voice = {"DEFAULT_VOICE": self.default_voice} if self.default_voice else {}
        return Launch(
            command=(),
            environment={**voice, "ENABLE_WEB_PLAYER": str(self.web_player).lower()},
            stop_seconds=self.stop_seconds,
            start_seconds=self.start_seconds,
            curl=False,
        )
