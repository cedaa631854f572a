"""Layers that keep a state of fixed size instead of tokens: Mamba, and attention that is linear in the length."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from stackctl.fit.shape import Shape, number

_STATEFUL = ("mamba", "mamba2", "linear_attention", "conv")


@dataclass(frozen=True)
class Roles:
    """How many layers are of which kind; those that keep nothing are in neither."""

    attention: int
    states: int


def roles(shape: Shape) -> Roles:
    """Which layers attend and which have states, as the hybrid families write it."""
    found = (rule(shape) for rule in (_lettered, _listed, _periodic, _named))
    otherwise = Roles(shape.layers, 0) if shape.heads else Roles(0, shape.layers)
    return next((item for item in found if item is not None), otherwise)


def _lettered(shape: Shape) -> Roles | None:
    """Nemotron-H: `M` is Mamba, `*` is attention; `-` and `E` keep nothing."""
    pattern = shape.text.get("hybrid_override_pattern")
    return Roles(pattern.count("*"), pattern.count("M")) if isinstance(pattern, str) else None


def _listed(shape: Shape) -> Roles | None:
    """Granite 4, Qwen3-Next, LFM2: each layer by its name."""
    kinds = shape.text.get("layer_types", shape.text.get("layers_block_type"))
    states = sum(kind in _STATEFUL for kind in kinds) if isinstance(kinds, list) else 0
    return Roles(len(kinds) - states, states) if isinstance(kinds, list) and states else None


def _periodic(shape: Shape) -> Roles | None:
    """Jamba and Qwen3-Next: one layer of attention in so many."""
    first = shape.text.get("attn_layer_offset", 0)
    period = number(shape.text, "attn_layer_period", "full_attention_interval")
    if period is None or type(first) is not int:
        return None
    attention = len(range(first, shape.layers, period))
    return Roles(attention, shape.layers - attention)


def _named(shape: Shape) -> Roles | None:
    """Bamba and Kimi Linear: those that attend by their numbers."""
    linear = shape.text.get("linear_attn_config")
    named = linear.get("full_attn_layers") if isinstance(linear, Mapping) else None
    attention = shape.text.get("attn_layer_indices", named)
    return Roles(len(attention), shape.layers - len(attention)) if isinstance(attention, list) else None


def state_bytes(shape: Shape, width: int) -> int:
    """Bytes of one layer's states of one request on one device: the last inputs, and the state proper.

    After vLLM 0.32's `MambaStateShapeCalculator`, with 2 bytes for the former and 4 for the latter.
    """
    text = shape.text
    values = number(text, "linear_num_value_heads")
    if values is not None:  # gated delta net
        key, value = _of(text, "linear_key_head_dim", 128), _of(text, "linear_value_head_dim", 128)
        inputs = 2 * key * _of(text, "linear_num_key_heads", values) + value * values
        return _both(inputs, _of(text, "linear_conv_kernel_dim", 4), values * key * value, width)
    kernel = number(text, "mamba_d_conv", "conv_kernel", "conv_L_cache") or 4
    size = number(text, "mamba_d_state", "ssm_state_size", "state_size") or 128
    heads = number(text, "mamba_n_heads", "mamba_num_heads")
    if heads is None:  # the first Mamba
        inner = _of(text, "mamba_expand", 2) * shape.hidden
        return _both(inner, kernel, inner * size, width)
    inner = heads * (number(text, "mamba_d_head", "mamba_head_dim") or 64)
    groups = number(text, "mamba_n_groups", "n_groups") or 1
    return _both(inner + 2 * groups * size, kernel, inner * size, width)


def _both(inputs: int, kernel: int, state: int, width: int) -> int:
    return ceil((inputs * (kernel - 1) * 2 + state * 4) / width)


def _of(text: Mapping[str, Any], name: str, otherwise: int) -> int:
    return number(text, name) or otherwise
