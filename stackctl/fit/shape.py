"""What a model's `config.json` says of its size, under the many names that families have for the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal models keep what describes their language model."""
_DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
    },
    "mistral": {"num_key_value_heads": 8},
    "mixtral": {"num_key_value_heads": 8},
}
"""Values that a family's configuration leaves out where they are the class's own, of transformers 4.57."""
_LONGEST = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
_STRETCHING = frozenset({"linear", "dynamic", "yarn"})
"""Kinds of rotary scaling that vLLM multiplies the trained length by; the others have it in that length already."""


@dataclass(frozen=True)
class Shape:
    """Numbers of a language model, those of its text part where it has several."""

    family: str
    """`model_type` of the text part, `qwen3`."""
    layers: int
    hidden: int
    heads: int
    """Of attention."""
    kv_heads: int
    head: int
    """Values of one head's key, and of its value."""
    vocabulary: int
    inner: int
    """Widest layer between two of the hidden size; of all experts that one token meets together."""
    longest: int | None
    """Tokens it was made for; None: it does not say."""
    dtype: str | None
    """That its files are in, `bfloat16`; None: it does not say."""
    quantised: bool
    text: Mapping[str, Any]
    """All of the text part, for what only one family has."""


def shape(config: Mapping[str, Any]) -> Shape | None:
    """The shape of a model; None where the numbers are not to be found: a server of its own reckoning."""
    text = text_of(config)
    layers = number(text, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    hidden = number(text, "hidden_size", "n_embd", "d_model", "dim")
    heads = number(text, "num_attention_heads", "n_head", "n_heads") or 0
    if layers is None or hidden is None:
        return None
    per_group = number(text, "num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
    single = text.get("multi_query") is True and not text.get("new_decoder_architecture")
    return Shape(
        family=str(text.get("model_type") or config.get("model_type") or "unnamed"),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=1 if single else heads if per_group is None else per_group,
        head=number(text, "head_dim", "attention_head_dim") or (hidden // heads if heads else 0),
        vocabulary=number(text, "vocab_size") or number(config, "vocab_size") or 0,
        inner=_inner(text, hidden),
        longest=_longest(text),
        dtype=_dtype(config, text),
        quantised=bool(quantisation(config)),
        text=text,
    )


def text_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part that describes the language model, with its family's own defaults."""
    for name in _PARTS:
        part = config.get(name)
        if isinstance(part, Mapping):
            return text_of(part)
    return {**_DEFAULTS.get(str(config.get("model_type")), {}), **config}


def number(values: Mapping[str, Any], *names: str) -> int | None:
    """The first of several names that has a whole number, other than nought."""
    found = (values.get(name) for name in names)
    return next((value for value in found if type(value) is int and value > 0), None)


def quantisation(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the weights are quantised; empty where they are not."""
    for part in (config, text_of(config)):
        for name in ("quantization_config", "compression_config"):
            if isinstance(part.get(name), Mapping):
                return dict(part[name])
    return {}


def _inner(text: Mapping[str, Any], hidden: int) -> int:
    dense = number(text, "intermediate_size", "ffn_hidden_size", "n_inner") or 4 * hidden
    expert = number(text, "moe_intermediate_size")
    chosen = number(text, "num_experts_per_tok", "num_experts_per_token", "moe_topk") or 1
    return dense * chosen if expert is None else max(expert * chosen, hidden)


def _longest(text: Mapping[str, Any]) -> int | None:
    found = [value for name in _LONGEST if (value := number(text, name)) is not None]
    scaling = text.get("rope_scaling") or text.get("rope_parameters")  # its name as of transformers 5
    if not found or not isinstance(scaling, Mapping):
        return min(found, default=None)
    factor, kind = scaling.get("factor"), scaling.get("rope_type", scaling.get("type"))
    if kind not in _STRETCHING or not isinstance(factor, int | float):
        return min(found)
    trained = number(scaling, "original_max_position_embeddings") if kind == "yarn" else None
    return int((trained or min(found)) * factor)


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    parts = (config, text, config.get("vision_config"))
    found = (
        part.get(name) for part in parts if isinstance(part, Mapping) for name in ("dtype", "torch_dtype")
    )
    return next((value.removeprefix("torch.") for value in found if isinstance(value, str)), None)
