"""vLLM: language models, embeddings and classifiers behind the OpenAI API."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from stackctl.core.form import Form
from stackctl.servers.base import (
    Api,
    Endpoint,
    HubWeights,
    Launch,
    Server,
    WarmUp,
    Weights,
    arguments_without_secrets,
)

PORT = 8000
_DEFAULT_SHARE = 0.92
_OWN_FLAGS = {
    "--host": "the placement's host",
    "--port": "`port` of the placement",
    "--served-model-name": "the model's name in the catalogue",
    "--model": "`weights`",
    "--revision": "`weights`",
    "--tensor-parallel-size": "`tensor_parallel`",
    "-tp": "`tensor_parallel`",
    "--max-model-len": "`context`",
    "--max-num-seqs": "`max_num_seqs`",
    "--gpu-memory-utilization": "`gpu_memory_utilization`",
    "--kv-cache-memory-bytes": "`kv_cache_memory`",
    "--kv-cache-dtype": "`kv_cache_dtype`",
    "--dtype": "`dtype`",
    "--runner": "`runner`",
    "--enforce-eager": "`enforce_eager`",
    "--tool-call-parser": "`tool_call_parser`",
    "--enable-auto-tool-choice": "`tool_call_parser`",
    "--reasoning-parser": "`reasoning_parser`",
    "--max-num-queued-reqs": "`max_queued`",
    "--sse-keep-alive-interval": "`sse_keep_alive`",
    "--shutdown-timeout": "`shutdown_timeout`",
}
"""Arguments that a setting or stackctl itself decides, and where."""


def _extra(arguments: tuple[str, ...]) -> tuple[str, ...]:
    for index, argument in enumerate(arguments):
        flag = argument.partition("=")[0]
        if flag in _OWN_FLAGS:
            raise PydanticCustomError(
                "own_flag", "has a setting", {"at": (index,), "setting": _OWN_FLAGS[flag]}
            )
    arguments_without_secrets(arguments)
    return arguments


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
    max_num_seqs: Annotated[int, Field(ge=1)] | None = None
    """Requests worked on at the same time; the gateway queues what exceeds it by a quarter."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory to take, 0.92 when unset. Lower it to put two models on one GPU."""
    kv_cache_memory: Annotated[str, Form(r"[1-9][0-9]*[KMG]", "a number and `K`, `M` or `G`")] | None = None
    """KV cache of each device, such as `64M`; `gpu_memory_utilization` is then ignored."""
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"] | None = None
    """`fp8` doubles the context that fits, at a little accuracy."""
    dtype: Literal["auto", "bfloat16", "float16", "float32", "half"] | None = None
    """Leave alone unless the GPU or CPU lacks the type that the weights are in."""
    runner: Literal["generate", "pooling"] | None = None
    """`pooling` for embeddings, reranking and classification, where vLLM does not see it by itself."""
    tool_call_parser: Annotated[str, Form(r"[a-z0-9_-]+", "a parser's name as vLLM lists it")] | None = None
    """Lets the model call tools; the parser that fits the model, such as `hermes` or `qwen3_coder`."""
    reasoning_parser: Annotated[str, Form(r"[a-z0-9_-]+", "a parser's name as vLLM lists it")] | None = None
    """Splits a model's thinking from its answer; the parser that fits the model."""
    max_queued: Annotated[int, Field(ge=1)] | None = None
    """Requests in flight above which vLLM answers 503 at once and the gateway tries another replica."""
    sse_keep_alive: Annotated[int, Field(ge=0, le=600)] = 15
    """Seconds between comment lines on a stream that waits, so that no proxy gives it up; 0: none."""
    shutdown_timeout: Annotated[int, Field(ge=0, le=3600)] = 120
    """Seconds that running requests get to finish when the container stops; 0 aborts them."""
    enforce_eager: bool = False
    """Skip compilation: starts faster, answers slower. For CPUs and for trying a model out."""
    extra_args: Annotated[tuple[str, ...], AfterValidator(_extra)] = ()
    """Arguments of `vllm serve` that have no setting here, as the last resort; nothing checks them."""

    @property
    def devices_needed(self) -> int:
        """One for each part of the model."""
        return self.tensor_parallel

    @property
    def memory_share(self) -> float | None:
        """Nothing known where the cache's size is given instead."""
        return None if self.kv_cache_memory else self.gpu_memory_utilization or _DEFAULT_SHARE

    def endpoint(self) -> Endpoint:
        """The OpenAI server's own paths."""
        warm_up = next((_WARM_UP[api] for api in _WARM_UP if api in self.api), None)
        return Endpoint(
            PORT, "/health", "/metrics", self.max_num_seqs, refuses_path="/tokenize", warm_up=warm_up
        )

    def launch(self, name: str) -> Launch:
        """The image's entry point is `vllm serve`."""
        # vLLM logs each check and scrape otherwise.
        quiet = ("--disable-access-log-for-endpoints", "/health,/metrics,/tokenize")
        served = (self._model(), "--served-model-name", name, "--host", "0.0.0.0", "--port", str(PORT))  # noqa: S104 - the container's own
        return Launch(
            command=(*served, *self._arguments(), *quiet, *self.extra_args),
            environment=_ENVIRONMENT,
            stop_seconds=self.shutdown_timeout + _TEARDOWN_SECONDS,
            start_seconds=self.start_seconds,
            curl=True,
            limits=_SPREAD_LIMITS if self.tensor_parallel > 1 else {},
            shared_memory="16g" if self.tensor_parallel > 1 else "1g",
            volumes={"cache": "/root/.cache/vllm"},
        )

    def _model(self) -> str:
        return f"/weights/{self.weights.repo if isinstance(self.weights, HubWeights) else self.weights.path}"

    def _arguments(self) -> tuple[str, ...]:
        valued = {
            "--tensor-parallel-size": self.tensor_parallel if self.tensor_parallel > 1 else None,
            "--max-model-len": self.context,
            "--max-num-seqs": self.max_num_seqs,
            "--gpu-memory-utilization": self.gpu_memory_utilization,
            "--kv-cache-memory-bytes": self.kv_cache_memory,
            "--kv-cache-dtype": self.kv_cache_dtype,
            "--dtype": self.dtype,
            "--runner": self.runner,
            "--tool-call-parser": self.tool_call_parser,
            "--reasoning-parser": self.reasoning_parser,
            "--max-num-queued-reqs": self.max_queued,
            "--sse-keep-alive-interval": self.sse_keep_alive or None,
            "--shutdown-timeout": self.shutdown_timeout,
        }
        switches = {"--enable-auto-tool-choice": self.tool_call_parser, "--enforce-eager": self.enforce_eager}
        pairs = (word for flag, value in valued.items() if value is not None for word in (flag, str(value)))
        return (*pairs, *(flag for flag, wanted in switches.items() if wanted))


_COMPLETION = WarmUp("/v1/completions", {"prompt": "a", "max_tokens": 1})
_WARM_UP: dict[Api, WarmUp] = {
    "chat": _COMPLETION,
    "completions": _COMPLETION,
    "embeddings": WarmUp("/v1/embeddings", {"input": "a"}),
}
# Measured: vLLM 0.32 refuses to start with Docker's 64M of /dev/shm; its queues take 160M even on one device.
# What NVIDIA asks for where GPUs talk to each other through pinned memory.
_SPREAD_LIMITS = {"memlock": -1, "stack": 67108864}
# Measured: the engine takes 7 to 9 s more to go once the last request has ended.
_TEARDOWN_SECONDS = 30
# Weights are fetched before a server starts, and it has no business on the internet.
_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
