"""What the layers of a model keep of a request: keys and values, a latent vector, the last tokens, or a state."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.fit.families import ENCODERS, LATENT, PLAIN, UNLIKE
from stackctl.fit.shape import Shape, number, quantisation
from stackctl.fit.sizing import Sizing
from stackctl.fit.states import Roles, roles, state_bytes

_WIDTHS = {"float32": 4, "auto": 2, "half": 2, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Layers:
    """Like layers, as one device has them."""

    count: int
    token: int = 0
    """Bytes of one token in one layer."""
    window: int | None = None
    """Tokens that are kept of a request; None: all."""
    state: int = 0
    """Bytes of a request in one layer, however long it is."""


@dataclass(frozen=True)
class Kept:
    """All layers of a model, on one device of those it is spread over."""

    layers: tuple[Layers, ...]
    """None of them: it keeps nothing between tokens."""
    exact: bool
    """Whether the cache is reckoned as vLLM does, byte by byte; otherwise it is an estimate."""
    latent: bool = False


def kept(config: Mapping[str, Any], shape: Shape, sizing: Sizing) -> Kept:
    """What is kept, by family; of one that is not known here, as if it were of the plainest."""
    if shape.family in ENCODERS:
        return Kept((), exact=True)
    width = cache_width(config, sizing)
    unlike = any(shape.text.get(name) for name in UNLIKE)
    parts = roles(shape)
    if shape.family in LATENT and (rank := number(shape.text, "kv_lora_rank")) is not None:
        token = (rank + (number(shape.text, "qk_rope_head_dim") or 0)) * width
        known = not unlike and not parts.states and shape.family != "longcat_flash"
        return Kept(tuple(_mixed(shape, parts, token, sizing)), exact=known, latent=True)
    # A device has one head at least: heads are copied where there are more devices than heads.
    heads = max(1, shape.kv_heads // sizing.width)
    layers = tuple(_mixed(shape, parts, 2 * heads * shape.head * width, sizing))
    plain = len(layers) == 1 and layers[0].state == 0 and _sees_all(layers[0], shape)
    return Kept(layers, exact=plain and not unlike and shape.family in PLAIN)


def cache_width(config: Mapping[str, Any], sizing: Sizing) -> int:
    """Bytes of one value in the cache; checkpoints may say themselves that theirs is of 8 bits."""
    if sizing.cache_dtype.startswith("fp8"):
        return 1
    scheme = quantisation(config).get("kv_cache_scheme")
    if sizing.cache_dtype == "auto" and isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return 1
    # vLLM runs float32 weights in 16 bits unless it is told otherwise.
    return _WIDTHS[sizing.dtype if sizing.cache_dtype == "auto" else sizing.cache_dtype]


def _sees_all(layers: Layers, shape: Shape) -> bool:
    return layers.window is None or (shape.longest is not None and layers.window >= shape.longest)


def _mixed(shape: Shape, parts: Roles, token: int, sizing: Sizing) -> Iterator[Layers]:
    for window, count in sorted(Counter(_windows(shape, parts.attention)).items()):
        yield Layers(count, token, window or None)
    if parts.states:
        yield Layers(parts.states, state=state_bytes(shape, sizing.width))


def _windows(shape: Shape, count: int) -> Sequence[int]:
    """The window of each attention layer; nought: it sees all."""
    text = shape.text
    window = number(text, "sliding_window") or 0
    kinds = text.get("layer_types")
    if text.get("use_sliding_window", not shape.family.startswith("qwen")) is False:
        return [0] * count
    if isinstance(kinds, list):
        chunk = number(text, "attention_chunk_size") or 0
        sizes = {"sliding_attention": window, "chunked_attention": chunk}
        seen = [kind for kind in kinds if kind in (*sizes, "full_attention", "attention")]
        return [sizes.get(kind, 0) for kind in seen][:count] if len(seen) >= count else [0] * count
    every = number(text, "sliding_window_pattern", "_sliding_window_pattern")
    if every is None and shape.family == "gemma2":
        every = 2
    if every is not None:
        return [0 if (index + 1) % every == 0 else window for index in range(count)]
    return [window] * count
