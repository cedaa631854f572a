"""vLLM's pool of cache blocks: how many a request takes, and how many there are.

All kinds of layers share one pool of blocks of one size, in bytes. After `v1/core/kv_cache_utils.py` and
`v1/kv_cache_interface.py` of vLLM 0.32, read in November 2026.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from stackctl.fit.layers import Layers

_ALIGNED = 16
"""Tokens that a block of a model with states is a multiple of."""
_NEARLY_ALIKE = 1.5
"""Kinds of layers that differ less in number are padded to the larger one, vLLM's own figure."""
_STATES = 2
"""Blocks that a layer's state takes where prefixes are cached: one of now, and one to go back to."""


@dataclass(frozen=True)
class Group:
    """Layers that share a table of blocks."""

    times: int
    """How many such groups there are."""
    tokens: int
    """In one block; nought: the block is a state."""
    window: int | None = None

    def blocks(self, context: int, in_flight: int) -> int:
        """Blocks of one request of that many tokens."""
        if self.tokens == 0:
            return self.times * _STATES
        if self.window is None:
            return self.times * ceil(context / self.tokens)
        seen = min(self.window - 1 + in_flight, context)
        # A window need not begin where a block does.
        return self.times * (ceil(seen / self.tokens) + 1)


@dataclass(frozen=True)
class Pool:
    """The blocks of one device."""

    block: int
    """Bytes."""
    groups: tuple[Group, ...]
    in_flight: int
    """Tokens that may be in the works beyond a window."""

    def blocks(self, context: int) -> int:
        """Blocks of one request of that many tokens."""
        return sum(group.blocks(context, self.in_flight) for group in self.groups)

    def need(self, context: int, requests: int = 1) -> int:
        """Bytes that hold as many requests of full context; one block of the pool is never given out."""
        return (requests * self.blocks(context) + 1) * self.block if self.groups else 0

    def requests(self, memory: int, context: int) -> int:
        """Requests of full context that so many bytes hold."""
        return max(0, (memory // self.block - 1) // self.blocks(context))

    def tokens(self, memory: int, context: int) -> int:
        """The size of the cache as vLLM reports it: `kv_cache_size_tokens` of `vllm:cache_config_info`."""
        return int(memory // self.block / self.blocks(context) * context)


def pool(layers: Sequence[Layers], tokens: int, in_flight: int) -> Pool:
    """The pool of a model's layers; `tokens` is the block that the attention of its device likes best."""
    layers = [item for item in layers if item.count * (item.token + item.state) > 0]
    if all(item.window is None and item.state == 0 for item in layers) or len(layers) == 1:
        return _single(layers, tokens, in_flight)
    widest = max(item.token for item in layers)
    largest = max(item.state for item in layers)
    if largest and widest:  # a block of tokens is made as large as a state
        tokens = max(tokens, ceil(largest / widest / _ALIGNED) * _ALIGNED)
    page = max(widest * tokens, largest)
    counts = [item.count for item in layers]
    size = max(counts) if max(counts) < _NEARLY_ALIKE * min(counts) else min(counts)
    groups = tuple(
        Group(ceil(item.count / size), page // item.token if item.token else 0, item.window)
        for item in layers
    )
    return Pool(page * size, groups, in_flight)


def _single(layers: Sequence[Layers], tokens: int, in_flight: int) -> Pool:
    block = sum(item.count * (item.token * tokens or item.state) for item in layers)
    groups = {Group(1, tokens if item.token else 0, item.window) for item in layers}
    return Pool(block, tuple(groups), in_flight)
