"""vLLM: language models, embeddings, reranking, classification and transcription behind the OpenAI API.

Flags, parsers and methods are those of `recorded/vllm.json`. Measured with vLLM 0.32 on a CPU: how it starts, ends its
requests and stops; what takes several GPUs is as vLLM's own documentation has it. Its image is without the libraries
that transcription needs: that takes an image of your own, made from it with `vllm[audio]` of the same version.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import Form, ModelName, Size
from stackctl.core.model import Model
from stackctl.fit.sizing import DEFAULT_SHARE, Sizing, size
from stackctl.servers.api import Api
from stackctl.servers.arguments import deciders, no_setting, recorded, words
from stackctl.servers.base import Endpoint, HubWeights, Launch, LocalWeights, Server, WarmUp, Weights
from stackctl.servers.unknown import Unknown

PORT = 8000
_FLAGS = {
    "tensor_parallel": "--tensor-parallel-size",
    "pipeline_parallel": "--pipeline-parallel-size",
    "data_parallel": "--data-parallel-size",
    "expert_parallel": "--enable-expert-parallel",
    "context": "--max-model-len",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "kv_cache_memory": "--kv-cache-memory-bytes",
    "kv_cache_dtype": "--kv-cache-dtype",
    "kv_offload": "--kv-offloading-size",
    "weights_offload": "--cpu-offload-gb",
    "dtype": "--dtype",
    "quantization": "--quantization",
    "runner": "--runner",
    "convert": "--convert",
    "hf_overrides": "--hf-overrides",
    "trust_remote_code": "--trust-remote-code",
    "generation_config": "--generation-config",
    "chat_template_kwargs": "--default-chat-template-kwargs",
    "limit_mm_per_prompt": "--limit-mm-per-prompt",
    "load_strategy": "--safetensors-load-strategy",
    "tool_call_parser": "--tool-call-parser",
    "reasoning_parser": "--reasoning-parser",
    "max_queued": "--max-num-queued-reqs",
    "sse_keep_alive": "--sse-keep-alive-interval",
    "shutdown_timeout": "--shutdown-timeout",
    "tools": "--enable-auto-tool-choice",
    "enforce_eager": "--enforce-eager",
    "no_prefix_caching": "--no-enable-prefix-caching",
    "max_lora_rank": "--max-lora-rank",
    "max_loras": "--max-loras",
}
"""Settings that are a flag each, in the order of the command."""
_DECIDERS = {
    **deciders(_FLAGS),
    "-tp": "`tensor_parallel`",
    "-pp": "`pipeline_parallel`",
    "-dp": "`data_parallel`",
    "-ep": "`expert_parallel`",
    "-q": "`quantization`",
    "--host": "the placement's host",
    "--port": "`port` of the placement",
    "--device-ids": "`devices` of the placement",
    "--served-model-name": "the model's name in the catalogue",
    "--model": "`weights`",
    "--revision": "`weights`",
    "--enable-auto-tool-choice": "`tool_call_parser`",
    "--enable-prefix-caching": "`prefix_caching`",
    "--no-enable-prefix-caching": "`prefix_caching`",
    "--enable-lora": "`lora`",
    "--lora-modules": "`lora`",
    "--spec-method": "`speculative`",
    "--spec-model": "`speculative`",
    "--spec-tokens": "`speculative`",
    "--speculative-config": "`speculative`",
}
"""Flags that a setting or stackctl itself decides, and where."""
_Listed = Form(r"[a-z0-9_-]+", "a name as vLLM lists it")


class Speculation(Model):
    """Guessing several tokens ahead and having the model judge them at once."""

    method: Annotated[str, _Listed]
    """How tokens are guessed: `mtp` where the model brings its own guesser, `ngram` from the prompt, `eagle3` by a draft."""
    tokens: Annotated[int, Field(ge=1, le=64)]
    """Tokens that are guessed at a time."""
    draft: LocalWeights | None = None
    """Weights of the model that guesses, `{path: ...}` on the host, for methods that take one."""


class Vllm(Server):
    """A model served by vLLM; settings carry vLLM's own names where it has one word for them."""

    server: Literal["vllm"]
    """`vllm`."""
    weights: Weights
    """Where the weights are: `{path: ...}` on the host, or `{repo: ..., revision: ...}` on the model hub."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Longest prompt and answer together, in tokens; unset: the model's own. Lower it to fit the KV cache."""
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Devices that one replica is spread over; a placement then names as many."""
    pipeline_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Parts that the layers are cut into, each on `tensor_parallel` devices. For devices without a fast link."""
    data_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Copies of the engine behind one port, each on devices of its own and with `max_num_seqs` of its own."""
    expert_parallel: bool = False
    """Spread the experts of a mixture-of-experts model over the devices whole, in place of cutting each."""
    max_num_seqs: Annotated[int, Field(ge=1)] | None = None
    """Requests worked on at the same time; the gateway queues what exceeds it by a quarter."""
    concurrency: Annotated[int, Field(ge=1)] | None = None
    """Requests of full `context` that are to be worked on at the same time; `validate` warns where fewer fit.

    vLLM is not told: it works on as many as there is room for, up to `max_num_seqs`, and lets the others wait."""
    max_num_batched_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of one step. Lower it for steadier streams, raise it for prompts that are read sooner."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory to take, 0.92 when unset. Lower it to put two models on one GPU."""
    kv_cache_memory: Size | None = None
    """KV cache of each device, such as `64M`; `gpu_memory_utilization` is then ignored."""
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"] | None = None
    """`fp8` doubles the context that fits, at a little accuracy."""
    kv_offload: Annotated[float, Field(gt=0)] | None = None
    """GiB of the host's memory for KV blocks that the GPU has no room for, all devices together."""
    weights_offload: Annotated[float, Field(gt=0)] | None = None
    """GiB of weights for each device that stay in the host's memory; every token then waits for the bus."""
    prefix_caching: bool = True
    """Keep what prompts begin alike with. Turn it off where no two do."""
    dtype: Literal["auto", "bfloat16", "float16", "float32", "half"] | None = None
    """Leave alone unless the GPU or CPU lacks the type that the weights are in."""
    quantization: Annotated[str, _Listed] | None = None
    """Leave alone unless the weights are to be quantized as they load, such as `fp8`; their own method is found."""
    runner: Literal["generate", "pooling"] | None = None
    """`pooling` for embeddings, reranking and classification, where vLLM does not see it by itself."""
    convert: Literal["classify", "embed", "none"] | None = None
    """Makes a classifier or an embedder of a model that generates text."""
    hf_overrides: Mapping[str, Any] | None = None
    """Entries in place of those of the model's `config.json`, such as the `architectures` of a reranker."""
    trust_remote_code: bool = False
    """Run the Python of the model's repository: only where you have read it, and its revision is a commit."""
    generation_config: Literal["auto", "vllm"] | None = None
    """`vllm` leaves aside the sampling that the model's repository sets, which callers do not see."""
    chat_template_kwargs: Mapping[str, Any] | None = None
    """What the chat template is given unless a request says otherwise, such as `{enable_thinking: false}`."""
    limit_mm_per_prompt: Mapping[Literal["image", "video", "audio"], Annotated[int, Field(ge=0)]] | None = (
        None
    )
    """Images, videos and sounds that a prompt may have, `{image: 4, video: 0}`; memory is kept for that many."""
    load_strategy: Literal["lazy", "eager", "prefetch"] | None = None
    """How weights are read: `eager` or `prefetch` for those on a network file system."""
    tool_call_parser: Annotated[str, _Listed] | None = None
    """Lets the model call tools; the parser that fits the model, such as `hermes` or `qwen3_coder`."""
    reasoning_parser: Annotated[str, _Listed] | None = None
    """Splits a model's thinking from its answer; the parser that fits the model."""
    lora: Mapping[ModelName, LocalWeights] = Field(default_factory=dict)
    """Adapters by the name that requests to /m/MODEL/v1 call them, each `{path: ...}` on the host."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] | None = None
    """Largest rank among the adapters, 16 when unset."""
    max_loras: Annotated[int, Field(ge=1)] | None = None
    """Adapters of one step, 1 when unset."""
    speculative: Speculation | None = None
    """Guess tokens ahead: answers come sooner while there is little load."""
    max_queued: Annotated[int, Field(ge=1)] | None = None
    """Requests in flight above which vLLM answers 503 at once and the gateway tries another replica."""
    sse_keep_alive: Annotated[int, Field(ge=0, le=600)] = 15
    """Seconds between comment lines on a stream that waits, so that no proxy gives it up; 0: none."""
    shutdown_timeout: Annotated[int, Field(ge=0, le=3600)] = 120
    """Seconds that running requests get to finish when the container stops; 0 aborts them."""
    enforce_eager: bool = False
    """Skip compilation: starts faster, answers slower. For CPUs and for trying a model out."""
    extra_args: Annotated[tuple[str, ...], AfterValidator(no_setting(_DECIDERS))] = ()
    """Arguments of `vllm serve` that have no setting here, as the last resort."""

    @property
    def devices_needed(self) -> int:
        """One for each part of the model."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def memory_share(self) -> float | None:
        """Nothing known where the cache's size is given instead."""
        return None if self.kv_cache_memory else self.gpu_memory_utilization or DEFAULT_SHARE

    @property
    def sizing(self) -> Sizing | None:
        """All of it in vLLM's own terms; None where layers are cut into parts, or weights stay in the host's memory."""
        if self.pipeline_parallel > 1 or self.weights_offload is not None:
            return None
        return Sizing(
            context=self.context,
            sequences=self.max_num_seqs,
            concurrency=self.concurrency,
            width=self.tensor_parallel,
            dtype=self.dtype or "auto",
            cache_dtype=self.kv_cache_dtype or "auto",
            cache=None if self.kv_cache_memory is None else size(self.kv_cache_memory),
            share=self.gpu_memory_utilization or DEFAULT_SHARE,
            eager=self.enforce_eager,
        )

    def endpoint(self) -> Endpoint:
        """The OpenAI server's own paths."""
        taken = None if self.max_num_seqs is None else self.max_num_seqs * self.data_parallel
        warm_up = next((_WARM_UP[api] for api in _WARM_UP if api in self.api), None)
        return Endpoint(PORT, "/health", "/metrics", taken, refuses_path="/tokenize", warm_up=warm_up)

    def unknown(self) -> Iterator[Unknown]:
        """By the lists of vLLM itself; a method of guessing has its own place in them."""
        known = recorded("vllm")
        yield from known.unknown_flags(self, self.extra_args)
        yield from known.unknown_choices(self)
        methods = known.choices["speculative_method"]
        if self.speculative is not None and self.speculative.method not in methods:
            method = self.speculative.method
            what = f"`{method}` is no way of guessing tokens of {known.program} {known.version}"
            yield Unknown(("speculative", "method"), what, method, methods, known.covers(self.image))

    def launch(self, name: str) -> Launch:
        """The image's entry point is `vllm serve`."""
        # vLLM logs each check and scrape otherwise.
        quiet = ("--disable-access-log-for-endpoints", "/health,/metrics,/tokenize")
        served = (mounted(self.weights), *serving_under(name))
        draft = self.speculative and self.speculative.draft
        return Launch(
            command=(*served, *self._arguments(), *quiet, *self.extra_args),
            environment=ENVIRONMENT,
            stop_seconds=self.shutdown_timeout + TEARDOWN_SECONDS,
            start_seconds=self.start_seconds,
            curl=True,
            limits=SPREAD_LIMITS if self.devices_needed > 1 else {},
            shared_memory="16g" if self.devices_needed > 1 else "1g",
            volumes={"cache": "/root/.cache/vllm"},
            more_weights=tuple(sorted(item.path for item in (*self.lora.values(), draft) if item)),
        )

    def _arguments(self) -> tuple[str, ...]:
        settings: dict[str, Any] = {name: getattr(self, name, None) for name in _FLAGS}
        for name in ("tensor_parallel", "pipeline_parallel", "data_parallel"):
            settings[name] = settings[name] if settings[name] > 1 else None
        settings["sse_keep_alive"] = self.sse_keep_alive or None
        settings["tools"] = self.tool_call_parser is not None
        settings["no_prefix_caching"] = not self.prefix_caching
        return (*words(_FLAGS, settings), *self._adapters(), *self._speculation())

    def _adapters(self) -> tuple[str, ...]:
        adapters = [f"{name}={mounted(weights)}" for name, weights in sorted(self.lora.items())]
        return ("--enable-lora", "--lora-modules", *adapters) if adapters else ()

    def _speculation(self) -> tuple[str, ...]:
        wanted = self.speculative
        if wanted is None:
            return ()
        draft = ("--spec-model", mounted(wanted.draft)) if wanted.draft else ()
        return ("--spec-method", wanted.method, *draft, "--spec-tokens", str(wanted.tokens))


def mounted(weights: LocalWeights | HubWeights) -> str:
    """Where a container sees weights."""
    return f"/weights/{weights.repo if isinstance(weights, HubWeights) else weights.path}"


def serving_under(name: str) -> tuple[str, ...]:
    """The flags that make vLLM's server answer under a name, on its port."""
    return ("--served-model-name", name, "--host", "0.0.0.0", "--port", str(PORT))  # noqa: S104 - the container's own


_COMPLETION = WarmUp("/v1/completions", {"prompt": "a", "max_tokens": 1})
_WARM_UP: dict[Api, WarmUp] = {
    "chat": _COMPLETION,
    "completions": _COMPLETION,
    "embeddings": WarmUp("/v1/embeddings", {"input": "a"}),
}
# Measured: vLLM 0.32 refuses to start with Docker's 64M of /dev/shm; its queues take 160M even on one device.
# What NVIDIA asks for where GPUs talk to each other through pinned memory.
SPREAD_LIMITS = {"memlock": -1, "stack": 67108864}
# Measured: the engine takes 7 to 9 s more to go once the last request has ended.
TEARDOWN_SECONDS = 30
# Weights are fetched before a server starts, and it has no business on the internet.
ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
