"""SGLang: language models and embeddings, or images and video by diffusion, behind the OpenAI API.

Read in the wheel sglang 0.5.23 in 2026-11: arguments of both servers, paths, metrics, and that the health path answers
503 from the moment the server is told to stop until its last request has ended. Not seen running.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.form import Form, ModelName
from stackctl.servers.arguments import deciders, no_setting, recorded, words
from stackctl.servers.base import Endpoint, Launch, LocalWeights, Server, Weights
from stackctl.servers.unknown import Unknown
from stackctl.servers.vllm import SPREAD_LIMITS, mounted

_PORT = 30000
_TEARDOWN_SECONDS = 90  # it looks every 5 s whether it may go, and waits 60 s for its processes
_FLAGS = {
    "tensor_parallel": "--tp-size",
    "pipeline_parallel": "--pp-size",
    "data_parallel": "--dp-size",
    "context": "--context-length",
    "max_running_requests": "--max-running-requests",
    "max_queued": "--max-queued-requests",
    "mem_fraction": "--mem-fraction-static",
    "chunked_prefill": "--chunked-prefill-size",
    "no_prefix_caching": "--disable-radix-cache",
    "kv_cache_dtype": "--kv-cache-dtype",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "embedding": "--is-embedding",
    "trust_remote_code": "--trust-remote-code",
    "tool_call_parser": "--tool-call-parser",
    "reasoning_parser": "--reasoning-parser",
    "chat_template_kwargs": "--default-chat-template-kwargs",
    "adapters": "--lora-paths",
    "max_lora_rank": "--max-lora-rank",
    "speculative_algorithm": "--speculative-algorithm",
    "speculative_steps": "--speculative-num-steps",
    "draft": "--speculative-draft-model-path",
    "no_graphs": "--disable-decode-cuda-graph",
    "no_prefill_graphs": "--disable-prefill-cuda-graph",
}
"""Settings of the language model's server that are a flag each, in the order of the command."""
_IMAGE_FLAGS = {
    "num_gpus": "--num-gpus",
    "tensor_parallel": "--tp-size",
    "quantization": "--quantization",
    "performance_mode": "--performance-mode",
    "trust_remote_code": "--trust-remote-code",
}
"""The same of the server that makes images."""
_IMAGES_ONLY = {"performance_mode", "devices"}
_BOTH = {"tensor_parallel", "quantization", "trust_remote_code"}
_DECIDERS = {
    **deciders(_FLAGS),
    "--disable-radix-cache": "`prefix_caching`",
    "--disable-cuda-graph": "`enforce_eager`",
    "--disable-decode-cuda-graph": "`enforce_eager`",
    "--disable-prefill-cuda-graph": "`enforce_eager`",
    "--lora-paths": "`lora`",
    "--enable-lora": "`lora`",
    "--tensor-parallel-size": "`tensor_parallel`",
    "--pipeline-parallel-size": "`pipeline_parallel`",
    "--data-parallel-size": "`data_parallel`",
    "--speculative-draft-model": "`draft`",
    "--performance-mode": "`performance_mode`",
    "--num-gpus": "`devices`",
    "--model-type": "`api`",
    "--host": "the placement's host",
    "--port": "`port` of the placement",
    "--served-model-name": "the model's name in the catalogue",
    "--model": "`weights`",
    "--model-path": "`weights`",
    "--revision": "`weights`",
    "--enable-metrics": "stackctl, which wants them",
    "--http-graceful-shutdown-timeout": "`stop_seconds`",
}
"""Flags that a setting or stackctl itself decides, and where."""
_Listed = Form(r"[A-Za-z0-9_-]+", "a name as SGLang lists it")


class Sglang(Server):
    """A model served by SGLang: by its language model's server, or with `api: [images]` by the one for diffusion."""

    server: Literal["sglang"]
    """`sglang`."""
    weights: Weights
    """Where the weights are: `{path: ...}` on the host, or `{repo: ..., revision: ...}` on the model hub."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Longest prompt and answer together, in tokens; unset: the model's own. Lower it to fit the KV cache."""
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Devices that one replica is spread over; a placement then names as many."""
    pipeline_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Parts that the layers are cut into, each on `tensor_parallel` devices."""
    data_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Copies of the engine behind one port, each on devices of its own."""
    devices: Annotated[int, Field(ge=1, le=64)] | None = None
    """Devices of a model that makes images, where they are more than `tensor_parallel`."""
    max_running_requests: Annotated[int, Field(ge=1)] | None = None
    """Requests worked on at the same time; the gateway queues what exceeds it by a quarter."""
    max_queued: Annotated[int, Field(ge=1)] | None = None
    """Requests that wait in it, above which it answers 503 at once and the gateway tries another replica."""
    mem_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the GPU's memory for weights and KV cache together; unset: what SGLang finds right."""
    chunked_prefill: Annotated[int, Field(ge=-1)] | None = None
    """Tokens of a prompt that are read at a time; lower it where long prompts run out of memory, -1: all."""
    prefix_caching: bool = True
    """Keep what prompts begin alike with. Turn it off where no two do."""
    kv_cache_dtype: Literal["auto", "bf16", "bfloat16", "fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4"] | None = (
        None
    )
    """`fp8_e4m3` doubles the context that fits, at a little accuracy."""
    dtype: Literal["auto", "half", "float16", "bfloat16", "float", "float32"] | None = None
    """Leave alone unless the GPU lacks the type that the weights are in."""
    quantization: Annotated[str, _Listed] | None = None
    """Leave alone unless the weights are to be quantized as they load, such as `fp8`; their own method is found."""
    embedding: bool = False
    """Serve a model that generates text as one that embeds it."""
    trust_remote_code: bool = False
    """Run the Python of the model's repository: only where you have read it, and its revision is a commit."""
    tool_call_parser: Annotated[str, _Listed] | None = None
    """Lets the model call tools; the parser that fits the model, such as `hermes` or `qwen3_coder`."""
    reasoning_parser: Annotated[str, _Listed] | None = None
    """Splits a model's thinking from its answer; the parser that fits the model."""
    chat_template_kwargs: Mapping[str, Any] | None = None
    """What the chat template is given unless a request says otherwise, such as `{enable_thinking: false}`."""
    lora: Mapping[ModelName, LocalWeights] = Field(default_factory=dict)
    """Adapters by the name that requests to /m/MODEL/v1 call them, each `{path: ...}` on the host."""
    max_lora_rank: Annotated[int, Field(ge=1)] | None = None
    """Largest rank among the adapters; unset: that of those here."""
    speculative_algorithm: Annotated[str, _Listed] | None = None
    """Guesses tokens ahead: `EAGLE3` by a draft, `NEXTN` where the model brings its own guesser, `NGRAM` from the prompt."""
    speculative_steps: Annotated[int, Field(ge=1, le=64)] | None = None
    """Steps of a guess."""
    draft: LocalWeights | None = None
    """Weights of the model that guesses, `{path: ...}` on the host."""
    performance_mode: Literal["auto", "manual", "memory", "speed"] | None = None
    """What a model that makes images gives up for what: memory or time."""
    enforce_eager: bool = False
    """Skip CUDA graphs: starts faster, answers slower."""
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """How long it may go on answering what it has begun when the container stops."""
    extra_args: Annotated[tuple[str, ...], AfterValidator(no_setting(_DECIDERS))] = ()
    """Arguments of `sglang serve` that have no setting here, as the last resort."""

    @model_validator(mode="after")
    def _of_one_server(self) -> "Sglang":
        """The two servers share a program and few of its arguments."""
        if "images" in self.api and self.api != ("images",):
            raise PydanticCustomError(
                "sglang", "has `images` beside another API; what makes images answers nothing else"
            )
        odd = self.model_fields_set & (set(_FLAGS) | {"lora", "enforce_eager", "prefix_caching"}) - _BOTH
        odd = odd if self._makes_images else self.model_fields_set & _IMAGES_ONLY
        for name in sorted(odd):
            wants = "a language model" if self._makes_images else "what makes images"
            raise PydanticCustomError(
                "sglang", "is for {wants}; take it out", {"at": (name,), "wants": wants}
            )
        return self

    @property
    def _makes_images(self) -> bool:
        return self.api == ("images",)

    @property
    def devices_needed(self) -> int:
        """One for each part of the model."""
        if self._makes_images:
            return self.devices or self.tensor_parallel
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    def endpoint(self) -> Endpoint:
        """Its health path tells that it has been told to stop."""
        taken = 1 if self._makes_images else self.max_running_requests
        return Endpoint(_PORT, "/health", "/metrics", taken)

    def unknown(self) -> Iterator[Unknown]:
        """By the lists of the server that it is."""
        yield from recorded("sglang_images" if self._makes_images else "sglang").unknown_flags(
            self, self.extra_args
        )
        if not self._makes_images:
            yield from recorded("sglang").unknown_choices(self)

    def launch(self, name: str) -> Launch:
        """The image has an entry point that runs its arguments as a command."""
        adapters = (*self.lora.values(), self.draft)
        spread = self.devices_needed > 1
        return Launch(
            command=(*self._served(name), *self._arguments(), *self.extra_args),
            environment={"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
            stop_seconds=self.stop_seconds + _TEARDOWN_SECONDS,
            start_seconds=self.start_seconds,
            curl=False,
            limits=SPREAD_LIMITS if spread else {},
            shared_memory="32g" if spread else "4g",
            volumes={"cache": "/root/.cache"},
            more_weights=tuple(sorted(item.path for item in adapters if item)),
        )

    def _served(self, name: str) -> tuple[str, ...]:
        kind = "diffusion" if self._makes_images else "llm"
        place = ("--host", "0.0.0.0", "--port", str(_PORT))  # noqa: S104 - the container's own
        model = ("--model-type", kind, "--model-path", mounted(self.weights), "--served-model-name", name)
        # It logs each check and scrape otherwise.
        quiet = ("--uvicorn-access-log-exclude-prefixes", "/health", "/metrics")
        metrics = "--enable-metrics" if not self._makes_images else "--enable-metrics=true"
        return ("sglang", "serve", *model, *place, metrics, *quiet)

    def _arguments(self) -> tuple[str, ...]:
        if self._makes_images:
            spread = self.devices_needed if self.devices_needed > 1 else None
            part = self.tensor_parallel if self.tensor_parallel > 1 else None
            graceful = ("--http-graceful-shutdown-timeout", str(self.stop_seconds))
            known = {name: getattr(self, name, None) for name in _IMAGE_FLAGS}
            return (
                *words(_IMAGE_FLAGS, {**known, "num_gpus": spread, "tensor_parallel": part}),
                *graceful,
            )
        settings: dict[str, Any] = {name: getattr(self, name, None) for name in _FLAGS}
        for name in ("tensor_parallel", "pipeline_parallel", "data_parallel"):
            settings[name] = settings[name] if settings[name] > 1 else None
        settings["no_prefix_caching"] = not self.prefix_caching
        settings["no_graphs"] = settings["no_prefill_graphs"] = self.enforce_eager
        settings["draft"] = self.draft and mounted(self.draft)
        adapters = tuple(f"{name}={mounted(weights)}" for name, weights in sorted(self.lora.items()))
        settings["adapters"] = adapters or None
        return words(_FLAGS, settings)
