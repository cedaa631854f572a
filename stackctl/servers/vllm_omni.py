"""vLLM-Omni: images, video and speech made by vLLM's sibling, behind the OpenAI API.

Read in the wheel vllm-omni 0.30.0 and its Dockerfile in 2026-11: arguments, paths, health, the empty entry point, and
the places for what is compiled. It takes vLLM's own arguments too. Not seen running: how long it takes to end its requests.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import Form
from stackctl.servers.arguments import deciders, no_setting, recorded, words
from stackctl.servers.base import Endpoint, Launch, Server, Weights
from stackctl.servers.unknown import Unknown
from stackctl.servers.vllm import (
    ENVIRONMENT,
    PORT,
    SPREAD_LIMITS,
    TEARDOWN_SECONDS,
    mounted,
    serving_under,
)

_FLAGS = {
    "num_gpus": "--num-gpus",
    "tensor_parallel": "--tensor-parallel-size",
    "ulysses_degree": "--ulysses-degree",
    "ring_degree": "--ring-degree",
    "cfg_parallel": "--cfg-parallel-size",
    "context": "--max-model-len",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "quantization": "--diffusion-quantization-config",
    "cache_backend": "--cache-backend",
    "cache_config": "--cache-config",
    "vae_slicing": "--vae-use-slicing",
    "vae_tiling": "--vae-use-tiling",
    "cpu_offload": "--enable-cpu-offload",
    "layerwise_offload": "--enable-layerwise-offload",
    "task_type": "--task-type",
    "sampling": "--default-sampling-params",
    "max_image_pixels": "--max-generated-image-size",
    "stage_overrides": "--stage-overrides",
    "stage_timeout": "--stage-init-timeout",
    "init_timeout": "--init-timeout",
    "trust_remote_code": "--trust-remote-code",
    "enforce_eager": "--enforce-eager",
    "shutdown_timeout": "--shutdown-timeout",
}
"""Settings that are a flag each, in the order of the command."""
_DECIDERS = {
    **deciders(_FLAGS),
    "-tp": "`tensor_parallel`",
    "--usp": "`ulysses_degree`",
    "--ring": "`ring_degree`",
    "--num-gpus": "`devices` of the placement",
    "--stage-init-timeout": "`start_seconds`",
    "--init-timeout": "`start_seconds`",
    "--omni": "the kind of server",
    "--host": "the placement's host",
    "--port": "`port` of the placement",
    "--served-model-name": "the model's name in the catalogue",
    "--model": "`weights`",
    "--revision": "`weights`",
}
"""Flags that a setting or stackctl itself decides, and where."""


class VllmOmni(Server):
    """A model that makes images, video or speech, served by vLLM-Omni of the same minor version as its vLLM."""

    server: Literal["vllm_omni"]
    """`vllm_omni`."""
    weights: Weights
    """Where the weights are: `{path: ...}` on the host, or `{repo: ..., revision: ...}` on the model hub."""
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Devices that the weights are cut over."""
    ulysses_degree: Annotated[int, Field(ge=1, le=64)] = 1
    """Devices that share the pixels of one image between their attention heads; multiplies the devices."""
    ring_degree: Annotated[int, Field(ge=1, le=64)] = 1
    """Devices that pass the pixels of one image round in a ring; multiplies the devices."""
    cfg_parallel: Annotated[int, Field(ge=1, le=8)] = 1
    """Devices for the passes with and without the prompt; multiplies the devices."""
    devices: Annotated[int, Field(ge=1, le=64)] | None = None
    """Devices of a model whose stages are on different ones, as its repository or `stage_overrides` has them."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Longest prompt and answer of the language model in it, in tokens; unset: the model's own."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory for the language model in it; models that only make images ignore it."""
    quantization: Mapping[str, Any] | None = None
    """Quantizes the weights of what makes images as they load, such as `{method: fp8}`."""
    cache_backend: Annotated[str, Form(r"[a-z0-9_]+", "a name as vLLM-Omni lists it")] | None = None
    """Skips what hardly changes from step to step, such as `cache_dit`; faster, at a little quality."""
    cache_config: Mapping[str, Any] | None = None
    """Settings of `cache_backend`, such as `{rel_l1_thresh: 0.2}`."""
    vae_slicing: bool = False
    """Decode images one by one: less memory for requests that want several."""
    vae_tiling: bool = False
    """Decode each image in tiles: less memory for large ones."""
    cpu_offload: bool = False
    """Keep those parts in the host's memory that are not at work."""
    layerwise_offload: bool = False
    """Keep the layers in the host's memory, and bring each when its turn comes; slow, and the least memory."""
    task_type: Annotated[str, Form(r"[A-Za-z0-9_-]+", "a task as the model names it")] | None = None
    """What a model of several tasks is to do, such as `CustomVoice`, `VoiceDesign` or `Base` of a text-to-speech model."""
    sampling: Mapping[str, Any] | None = None
    """Sampling by stage unless a request says otherwise, `{"0": {num_inference_steps: 20}}`."""
    max_image_pixels: Annotated[int, Field(ge=65536)] | None = None
    """Largest image, height times width, that a request may ask for; 7680 times 4320 when unset."""
    stage_overrides: Mapping[str, Any] | None = None
    """Settings of single stages, `{"0": {gpu_memory_utilization: 0.5}}`."""
    max_requests: Annotated[int, Field(ge=1)] = 1
    """Requests it works on at the same time; the gateway queues what exceeds it by a quarter."""
    trust_remote_code: bool = False
    """Run the Python of the model's repository: only where you have read it, and its revision is a commit."""
    enforce_eager: bool = False
    """Skip compilation: starts faster, answers slower."""
    shutdown_timeout: Annotated[int, Field(ge=0, le=3600)] = 120
    """Seconds that running requests get to finish when the container stops; 0 aborts them."""
    extra_args: Annotated[tuple[str, ...], AfterValidator(no_setting(_DECIDERS))] = ()
    """Arguments of `vllm serve --omni` that have no setting here, as the last resort."""

    @property
    def devices_needed(self) -> int:
        """The product of all ways of spreading it, where its stages are not spread as well."""
        return self.devices or self._spread

    @property
    def _spread(self) -> int:
        return self.tensor_parallel * self.ulysses_degree * self.ring_degree * self.cfg_parallel

    def endpoint(self) -> Endpoint:
        """Its health is 503 once its engine is dead or not there yet."""
        return Endpoint(PORT, "/health", "/metrics", self.max_requests)

    def unknown(self) -> Iterator[Unknown]:
        """By its own lists and vLLM's."""
        own = recorded("vllm_omni")
        yield from (
            item
            for item in own.unknown_flags(self, self.extra_args)
            if item.word not in recorded("vllm").flags
        )
        yield from own.unknown_choices(self)

    def launch(self, name: str) -> Launch:
        """The image has no entry point, or had another in older versions."""
        spread = self.devices_needed > 1
        return Launch(
            command=(
                mounted(self.weights),
                "--omni",
                *serving_under(name),
                *self._arguments(),
                *self.extra_args,
            ),
            environment=ENVIRONMENT,
            stop_seconds=self.shutdown_timeout + TEARDOWN_SECONDS,
            start_seconds=self.start_seconds,
            curl=True,
            limits=SPREAD_LIMITS if spread else {},
            shared_memory="16g" if spread else "4g",
            volumes={"cache": "/tmp/vllm", "compiled": "/tmp/torchinductor"},  # noqa: S108 - the container's own
            entrypoint=("vllm", "serve"),
        )

    def _arguments(self) -> tuple[str, ...]:
        settings: dict[str, Any] = {name: getattr(self, name, None) for name in _FLAGS}
        for name in ("tensor_parallel", "ulysses_degree", "ring_degree", "cfg_parallel"):
            settings[name] = settings[name] if settings[name] > 1 else None
        settings["num_gpus"] = self._spread if self._spread > 1 else None
        # It gives up a stage after five minutes and the whole after ten, however large the weights are.
        settings["stage_timeout"] = settings["init_timeout"] = self.start_seconds
        return words(_FLAGS, settings)
