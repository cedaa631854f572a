"""What the fake model server has served, in vLLM's own metric names and buckets. Standard library only."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_WAITS = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_STEPS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_FIRSTS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
    640, 2560,
)  # fmt: skip
_HISTOGRAMS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("request_prompt_tokens", "request_generation_tokens"), _SIZES),
    **dict.fromkeys(("request_max_num_generation_tokens", "request_params_max_tokens"), _SIZES),
    "request_prefill_kv_computed_tokens": _SIZES,
    "iteration_tokens_total": (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
    "request_params_n": (1, 2, 5, 10, 20),
    "request_num_preemptions": (1, 2, 3, 4, 5, 10, 20),
    "time_to_first_token_seconds": _FIRSTS,
    "inter_token_latency_seconds": _STEPS,
    "request_time_per_output_token_seconds": _STEPS,
    **dict.fromkeys(
        (f"request_{part}_time_seconds" for part in ("queue", "inference", "prefill", "decode")), _WAITS
    ),
    "e2e_request_latency_seconds": _WAITS,
}
_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (f"estimated_{what}_per_gpu" for what in ("flops", "read_bytes", "write_bytes")), ("", ())
    ),
    **dict.fromkeys(
        (
            f"{cache}_cache_{what}"
            for cache in ("prefix", "external_prefix", "mm")
            for what in ("queries", "hits")
        ),
        ("", ()),
    ),
    **dict.fromkeys(
        ("num_preemptions", "prompt_tokens", "prompt_tokens_cached", "generation_tokens"), ("", ())
    ),
    "prompt_tokens_by_source": ("source", ("local_compute", "local_cache_hit", "external_kv_transfer")),
    "prompt_tokens_cached_by_source": ("source", ("device", "host", "p2p", "disk", "external_unspecified")),
    "request_success": ("finished_reason", ("stop", "length", "abort", "error", "repetition")),
    "admission_rejections": ("reason", ("max_num_queued_reqs", "max_num_queued_tokens")),
}
_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "num_requests_running": ("", ()),
    "num_requests_waiting": ("", ()),
    "num_requests_waiting_by_reason": ("reason", ("capacity", "deferred")),
    "engine_sleep_state": ("sleep_state", ("awake", "weights_offloaded", "discard_all")),
    "kv_cache_usage_perc": ("", ()),
    "cache_config_info": ("block_size", ("16",)),
}


@dataclass
class Meter:
    """What has been served, told in vLLM's metric names."""

    model: str
    started: float = field(default_factory=time.time)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _HISTOGRAMS})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, amount: float = 1, label: str = "") -> None:
        """Count up, or down."""
        with self._lock:
            self.values[name, label] += amount  # type: ignore[assignment]

    def observe(self, **seen: float) -> None:
        """Note one observation for each of the histograms named."""
        with self._lock:
            for name, value in seen.items():
                self.seen[name].append(value)

    def exposition(self) -> str:
        """The text of /metrics."""
        self.values["engine_sleep_state", "awake"] = self.values["cache_config_info", "16"] = 1
        lines: list[str] = []
        for name, (label, choices) in _GAUGES.items():
            lines += self._family(name, "gauge", label, choices)
        for name, (label, choices) in _COUNTERS.items():
            lines += self._family(name, "counter", label, choices)
            lines += [f"# TYPE vllm:{name}_created gauge", self._line(f"{name}_created", "", self.started)]
        for name, bounds in _HISTOGRAMS.items():
            lines += self._histogram(name, bounds)
        return "\n".join(lines) + "\n"

    def _family(self, name: str, kind: str, label: str, choices: tuple[str, ...]) -> list[str]:
        shown = f"{name}_total" if kind == "counter" else name
        lines = [f"# TYPE vllm:{shown} {kind}"]
        for choice in choices or ("",):
            labelled = f'{label}="{choice}"' if label else ""
            lines += [self._line(shown, labelled, self.values[name, choice])]
        return lines

    def _histogram(self, name: str, bounds: tuple[float, ...]) -> list[str]:
        seen = list(self.seen[name])
        lines = [f"# TYPE vllm:{name} histogram"]
        for bound in bounds:
            count = sum(value <= bound for value in seen)
            lines.append(self._line(f"{name}_bucket", f'le="{float(bound)}"', count))
        lines.append(self._line(f"{name}_bucket", 'le="+Inf"', len(seen)))
        lines += [self._line(f"{name}_count", "", len(seen)), self._line(f"{name}_sum", "", sum(seen))]
        return [*lines, f"# TYPE vllm:{name}_created gauge", self._line(f"{name}_created", "", self.started)]

    def _line(self, name: str, label: str, value: float) -> str:
        extra = f",{label}" if label else ""
        return f'vllm:{name}{{engine="0",model_name="{self.model}"{extra}}} {float(value)}'
