"""What one replica needs on each of its devices, against what that has."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from stackctl.fit.layers import Kept, kept
from stackctl.fit.pool import Pool, pool
from stackctl.fit.shape import Shape, shape
from stackctl.fit.sizing import Sizing
from stackctl.fit.weights import loaded, stored

GIB = 2**30
LEAST = GIB // 2
"""What libraries and the smallest batch take beside weights and cache: a bound from below."""
_CONTEXT = GIB // 2
"""CUDA's own context and the communication between devices, about half a GiB."""
_GRAPHS = 3 * GIB // 4
"""Captured graphs, 0.3 to 1.2 GiB by model and batch sizes; vLLM sets them aside before it sizes the cache."""
_UNKNOWN_SHAPE = 2 * GIB
_LOGITS = 3 * 4
"""Bytes of one logit: the sampler keeps about three copies in 32 bits."""
_LARGE, _LARGEST = 70 * GIB, 160 * GIB

Verdict = Literal["fits", "queues", "tight", "refused"]
"""`queues`: less requests of full context at a time than wanted; `tight`: starts if the reserve is less than is usual;
`refused`: vLLM does not start."""


@dataclass(frozen=True)
class Room:
    """The memory of a device as far as it is known."""

    total: int | None = None
    """Bytes that CUDA has to give; None: unknown, as it is of a CPU's host."""
    cpu: bool = False
    small_batches: bool = False
    """An A100, of which vLLM asks less at a time than of others that are as large."""

    def budget(self, sizing: Sizing) -> int | None:
        """Bytes that a replica may take of it."""
        if self.total is None or self.cpu:
            return None
        return self.total if sizing.cache is not None else ceil(self.total * sizing.share)

    @property
    def batch(self) -> int:
        """Tokens of one step: what vLLM 0.32's API server takes by the size of the device."""
        total = self.total or 0
        if total >= _LARGEST:
            return 16384
        return 8192 if total >= _LARGE and not self.small_batches else 2048

    @property
    def sequences(self) -> int:
        """Requests of one step, likewise."""
        return 1024 if self.batch > 2048 else 256


@dataclass(frozen=True)
class Need:
    """Bytes that one replica needs on each device, and what they are compared with."""

    sizing: Sizing
    weights: int | None
    """None: the files do not tell."""
    pool: Pool | None
    """None: nothing is known of the cache."""
    context: int | None
    """Tokens of the longest request; None: neither the arguments nor the model say."""
    reserve: int
    """Activations, graphs and context: what is usual, an estimate."""
    budget: int | None
    """Bytes that are there for all that; None: unknown."""
    exact: bool

    def cache(self, requests: int | None = None) -> int | None:
        """Bytes of the cache for so many requests of full context, or for those that are wanted."""
        if self.pool is None or self.context is None:
            return 0 if self.pool is not None and not self.pool.groups else None
        return self.pool.need(self.context, requests or self.sizing.requests)

    def total(self, requests: int | None = None, reserve: int | None = None) -> int:
        """Bytes of all that is known."""
        cache = self.sizing.cache if self.sizing.cache is not None else self.cache(requests)
        return (self.weights or 0) + (cache or 0) + (self.reserve if reserve is None else reserve)

    @property
    def room(self) -> int | None:
        """Bytes that are left for the cache, with the usual reserve; None: unknown."""
        if self.sizing.cache is not None:
            return self.sizing.cache
        if self.budget is None or self.weights is None:
            return None
        return max(0, self.budget - self.weights - self.reserve)

    @property
    def held(self) -> int | None:
        """Requests of full context that the cache holds at a time; None: unknown, or it takes none."""
        if self.room is None or self.pool is None or self.context is None or not self.pool.groups:
            return None
        return self.pool.requests(self.room, self.context)

    @property
    def verdict(self) -> Verdict:
        """What becomes of it; of what is unknown nothing is held against it."""
        one = self.cache(1)
        short = self.sizing.cache is not None and one is not None and one > self.sizing.cache
        if short or self._over(1, LEAST):
            return "refused"
        if self._over(1, None):
            return "tight"
        wanted = self.sizing.concurrency
        return "queues" if wanted is not None and self.held is not None and self.held < wanted else "fits"

    def _over(self, requests: int, reserve: int | None) -> bool:
        return (
            self.budget is not None
            and self.weights is not None
            and self.total(requests, reserve) > self.budget
        )


def need(config: Mapping[str, Any], files: Mapping[str, int], sizing: Sizing, room: Room) -> Need:
    """What a model takes on each device of `room` if it is served with these arguments."""
    found = shape(config)
    held = None if found is None else kept(config, found, sizing)
    size = stored(files)
    weights = None if size is None else loaded(size, config, found, sizing)
    cache = None if held is None else pool_of(held, room)
    context = sizing.context or (None if found is None else found.longest)
    exact = held is not None and held.exact
    return Need(sizing, weights, cache, context, reserve(found, sizing, room), room.budget(sizing), exact)


def pool_of(held: Kept, room: Room) -> Pool:
    """The pool of blocks, with those that vLLM has by default: 16 tokens, on a CPU 128; latent vectors have others."""
    tokens = (16 if held.latent else 128) if room.cpu else (64 if held.latent else 16)
    # One step is in the works while the next is prepared.
    return pool(held.layers, tokens, 2 * room.batch)


def reserve(found: Shape | None, sizing: Sizing, room: Room) -> int:
    """What activations, captured graphs and CUDA's context take, from the sizes of one step: an estimate.

    vLLM measures it with one step of as many tokens and requests as it will ever work on; what that keeps at a time
    is about four vectors of the hidden size and three of the inner one for each token, and the logits of each request.
    """
    if room.cpu:
        return 0
    if found is None:
        return _UNKNOWN_SHAPE
    token = 2 * (4 * found.hidden + 3 * ceil(found.inner / sizing.width))
    logits = (sizing.sequences or room.sequences) * found.vocabulary * _LOGITS
    return _CONTEXT + (0 if sizing.eager else _GRAPHS) + room.batch * token + logits
