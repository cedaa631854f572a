"""Text Embeddings Inference: small and quick embedders, rerankers and classifiers.

Read in its router's main.rs and its documentation in 2026-11: arguments and paths. Its images listen on port 80; there is
one for CPUs and one for each generation of GPUs, `cpu-1.9`, `1.9` (sm_80), `86-1.9`, `89-1.9`, `hopper-1.9`, `120-1.9`.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import Form
from stackctl.servers.arguments import deciders, no_setting, recorded, words
from stackctl.servers.base import Endpoint, Launch, Server, Weights
from stackctl.servers.unknown import Unknown
from stackctl.servers.vllm import mounted

_PORT = 80
_FLAGS = {
    "dtype": "--dtype",
    "pooling": "--pooling",
    "max_concurrent_requests": "--max-concurrent-requests",
    "max_batch_tokens": "--max-batch-tokens",
    "max_batch_requests": "--max-batch-requests",
    "max_client_batch_size": "--max-client-batch-size",
    "auto_truncate": "--auto-truncate",
    "default_prompt_name": "--default-prompt-name",
    "payload_limit": "--payload-limit",
    "tokenization_workers": "--tokenization-workers",
}
"""Settings that are a flag each, in the order of the command."""
_DECIDERS = {
    **deciders(_FLAGS),
    "--model-id": "`weights`",
    "--revision": "`weights`",
    "--served-model-name": "the model's name in the catalogue",
    "--hostname": "the placement's host",
    "--port": "`port` of the placement",
    "-p": "`port` of the placement",
    "--device-id": "`devices` of the placement",
}
"""Flags that a setting or stackctl itself decides, and where."""
_OWN_PATHS = {"embeddings": ("/embed", "/embed_sparse"), "classify": ("/predict",)}
"""What it answers besides the paths that others have too; requests to these name no model, so they go to /m/NAME."""


class Tei(Server):
    """An embedder, a reranker or a classifier served by Text Embeddings Inference, on one device."""

    server: Literal["tei"]
    """`tei`."""
    weights: Weights
    """Where the weights are: `{path: ...}` on the host, or `{repo: ..., revision: ...}` on the model hub."""
    dtype: Literal["float16", "float32"] | None = None
    """Leave alone unless the device lacks the type that it takes by itself."""
    pooling: Literal["cls", "mean", "splade", "last-token"] | None = None
    """How one vector is made of many, where the model's repository does not say."""
    max_concurrent_requests: Annotated[int, Field(ge=1)] = 512
    """Requests in flight, above which it answers 429."""
    max_batch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of one batch, 16384 when unset; as many as the device's memory takes."""
    max_batch_requests: Annotated[int, Field(ge=1)] | None = None
    """Requests of one batch; unset: as many as fit in `max_batch_tokens`."""
    max_client_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Texts that one request may have, 32 when unset."""
    auto_truncate: bool = False
    """Cut texts that are too long in place of refusing them."""
    default_prompt_name: Annotated[str, Form(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "a prompt's name")] | None = None
    """Which of the repository's prompts is put before every text."""
    payload_limit: Annotated[int, Field(ge=1024)] | None = None
    """Largest request in bytes, 2000000 when unset."""
    tokenization_workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads that split texts into tokens; one for each processor when unset."""
    start_seconds: Annotated[int, Field(ge=10, le=86400)] = 600
    """How long it may take to start, weights loaded."""
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """How long it may go on answering what it has begun when the container stops."""
    extra_args: Annotated[tuple[str, ...], AfterValidator(no_setting(_DECIDERS))] = ()
    """Arguments of `text-embeddings-router` that have no setting here, as the last resort."""

    @property
    def devices_needed(self) -> int:
        """It knows no other way."""
        return 1

    @property
    def own_paths(self) -> tuple[str, ...]:
        """Its own API, as far as the model has it."""
        return (*self.paths, *(path for api in self.api for path in _OWN_PATHS.get(api, ())))

    def endpoint(self) -> Endpoint:
        """Told to stop, it takes no more connections and ends those it has."""
        return Endpoint(_PORT, "/health", "/metrics", self.max_concurrent_requests)

    def unknown(self) -> Iterator[Unknown]:
        """By its own list."""
        return recorded("tei").unknown_flags(self, self.extra_args)

    def launch(self, name: str) -> Launch:
        """The image's entry point is the router."""
        settings: dict[str, Any] = {setting: getattr(self, setting) for setting in _FLAGS}
        served = ("--model-id", mounted(self.weights), "--served-model-name", name, "--port", str(_PORT))
        return Launch(
            command=(*served, *words(_FLAGS, settings), *self.extra_args),
            environment={"HF_HUB_OFFLINE": "1"},
            stop_seconds=self.stop_seconds,
            start_seconds=self.start_seconds,
            curl=False,
        )
