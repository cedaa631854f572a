"""What would fit instead: each of these alone is enough, reckoned as what did not fit was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stackctl.fit.need import Need, Room, need
from stackctl.fit.shape import shape
from stackctl.fit.sizing import Sizing
from stackctl.fit.width import widths

_STEP = 256
"""Tokens that a context is rounded down to."""


def instead(
    config: Mapping[str, Any], files: Mapping[str, int], found: Need, room: Room, devices: int, fp8: bool
) -> tuple[str, ...]:
    """Settings that make it fit, such as `context 12288`; `devices` are all that the host has, `fp8` if they know it."""

    def fits(sizing: Sizing) -> bool:
        return need(config, files, sizing, room).verdict == "fits"

    return tuple(_options(found, fits, _wider(config, found.sizing, devices), fp8))


def _options(found: Need, fits: Callable[[Sizing], bool], wider: Sequence[int], fp8: bool) -> Iterator[str]:
    sizing = found.sizing
    if found.context is not None:
        steps = _largest(found.context // _STEP, lambda item: fits(sizing.but(context=item * _STEP)))
        if 0 < steps * _STEP < found.context:
            yield f"context {steps * _STEP}"
    if sizing.concurrency is not None:
        requests = _largest(sizing.concurrency - 1, lambda item: fits(sizing.but(concurrency=item)))
        if requests:
            yield f"concurrency {requests}"
    width = next((item for item in wider if fits(sizing.but(width=item))), None)
    if width is not None:
        yield f"tensor_parallel {width}"
    if fp8 and sizing.cache_dtype == "auto" and fits(sizing.but(cache_dtype="fp8")):
        yield "kv_cache_dtype fp8"


def _wider(config: Mapping[str, Any], sizing: Sizing, devices: int) -> tuple[int, ...]:
    found = shape(config)
    return (
        () if found is None else tuple(item for item in widths(config, found, devices) if item > sizing.width)
    )


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that fits, where every smaller one fits as well; nought: none."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
