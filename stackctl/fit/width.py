"""Over how many devices a model can be spread: what vLLM divides, it wants to divide without a rest."""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from stackctl.fit.shape import Shape, number, quantisation

_VOCABULARY_STEP = 64
"""vLLM pads the vocabulary to a multiple of this before it divides it."""


def obstacles(config: Mapping[str, Any], shape: Shape, width: int) -> tuple[str, ...]:
    """What is not divisible by so many devices, each as `64 attention heads`; vLLM 0.32 refuses to start then."""
    return tuple(_obstacles(config, shape, width)) if width > 1 else ()


def widths(config: Mapping[str, Any], shape: Shape, most: int) -> tuple[int, ...]:
    """Numbers of devices up to `most` that the model can be spread over."""
    return tuple(item for item in range(1, most + 1) if not obstacles(config, shape, item))


def _obstacles(config: Mapping[str, Any], shape: Shape, width: int) -> Iterator[str]:
    if shape.heads % width:
        yield f"{shape.heads} attention heads"
    few, many = sorted((max(1, shape.kv_heads), width))
    if many % few and not number(shape.text, "kv_lora_rank"):
        yield f"{shape.kv_heads} key-value heads"
    padded = ceil(shape.vocabulary / _VOCABULARY_STEP) * _VOCABULARY_STEP
    if padded % width:
        yield f"a vocabulary of {padded}"
    yield from _inner(config, shape, width)


def _inner(config: Mapping[str, Any], shape: Shape, width: int) -> Iterator[str]:
    """The layers in between, of experts where there are some; quantised in blocks, of whole blocks."""
    name = "moe_intermediate_size" if number(shape.text, "moe_intermediate_size") else "intermediate_size"
    inner = number(shape.text, name)
    if inner is None:
        return
    blocks = quantisation(config).get("weight_block_size")
    step = blocks[0] if isinstance(blocks, list) and blocks and type(blocks[0]) is int else 1
    if inner % width:
        yield f"`{name}` {inner}"
    elif name.startswith("moe") and step > 1 and (inner // width) % step:
        yield f"`{name}` {inner} in blocks of {step}"
