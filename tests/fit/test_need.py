"""A replica beside its device: what becomes of it, what would fit instead, and how that is worded."""

from collections.abc import Mapping
from typing import Any

import pytest

from stackctl.fit.advice import instead
from stackctl.fit.need import GIB, Need, Room, need
from stackctl.fit.sizing import Sizing
from stackctl.fit.wording import arithmetic
from tests.fit import configs

WEIGHTS = {"model.safetensors": int(18.1 * GIB)}
AWQ = {**configs.QWEN3_32B, "quantization_config": {"quant_method": "awq"}}
"""Qwen3-32B in 4 bits, about 18 GiB."""


def of(total: float, config: Mapping[str, Any] = AWQ, **sizing: Any) -> Need:
    return need(config, WEIGHTS, Sizing(**sizing), Room(int(total * GIB)))


@pytest.mark.parametrize(
    ("total", "sizing", "verdict"),
    [
        (44.5, {"context": 32768}, "fits"),  # 8 GiB of cache
        (44.5, {"context": 32768, "concurrency": 3}, "queues"),
        (44.5, {"context": 32768, "concurrency": 2}, "fits"),
        (23.5, {"context": 32768}, "refused"),
        (44.5, {"context": 32768, "share": 0.5}, "refused"),
        (44.5, {"context": 32768, "share": 0.62}, "tight"),
        (23.5, {"context": 32768, "width": 2}, "fits"),
        (23.5, {"context": 2048, "cache": GIB}, "fits"),
        (23.5, {"context": 32768, "cache": GIB}, "refused"),  # one request alone takes 8
        (19, {"context": 2048, "cache": GIB}, "refused"),
    ],
)
def test_what_becomes_of_a_replica(total: float, sizing: dict[str, Any], verdict: str) -> None:
    assert of(total, **sizing).verdict == verdict


def test_of_a_device_that_is_not_known_nothing_is_held_against_it() -> None:
    assert need(AWQ, WEIGHTS, Sizing(), Room()).verdict == "fits"
    assert need(AWQ, {}, Sizing(), Room(GIB)).verdict == "fits"


def test_a_cache_of_its_own_size_is_judged_on_a_cpu_too() -> None:
    tiny = {"model.safetensors": 248_000}
    fits, short = (
        need(configs.TINY, tiny, Sizing(context=2048, cache=cache), Room(cpu=True)).verdict
        for cache in (17 * 65536, 17 * 65536 - 1)  # 16 blocks, and the one that is never given out
    )

    assert (fits, short) == ("fits", "refused")


def advice(total: float, devices: int, *, fp8: bool = True, **sizing: Any) -> tuple[str, ...]:
    room = Room(int(total * GIB))
    return instead(AWQ, WEIGHTS, need(AWQ, WEIGHTS, Sizing(**sizing), room), room, devices, fp8=fp8)


def test_everything_that_alone_would_fit_is_told() -> None:
    assert advice(44.5, 4, context=32768, concurrency=9) == (
        "context 9216",
        "concurrency 2",
        "tensor_parallel 4",
    )
    assert advice(44.5, 1, context=98304) == ("context 84992", "kv_cache_dtype fp8")
    assert advice(44.5, 1, context=98304, fp8=False) == ("context 84992",)


@pytest.mark.parametrize("total", [23.5, 31.5, 44.5])
@pytest.mark.parametrize("concurrency", [None, 4, 40])
@pytest.mark.parametrize("context", [8192, 40960])
def test_what_is_told_fits_and_a_step_more_does_not(
    total: float, concurrency: int | None, context: int
) -> None:
    wanted: dict[str, Any] = {"context": context, "concurrency": concurrency}
    if of(total, **wanted).verdict == "fits":
        return
    names = {"context": "context", "concurrency": "concurrency", "tensor_parallel": "width"}

    for option in advice(total, 8, **wanted):
        name, _, value = option.partition(" ")
        if name not in names:
            assert of(total, **wanted, cache_dtype="fp8").verdict == "fits"
            continue
        given, step = int(value), 256 if name == "context" else 1
        assert of(total, **{**wanted, names[name]: given}).verdict == "fits"
        if name != "tensor_parallel":
            assert of(total, **{**wanted, names[name]: given + step}).verdict != "fits"


def test_weights_that_do_not_fit_are_helped_by_nothing_but_more_devices() -> None:
    assert advice(15.5, 1, context=8192) == ()
    assert advice(15.5, 4, context=8192) == ("tensor_parallel 2",)


def test_the_arithmetic_is_a_few_lines_that_a_person_can_check() -> None:
    assert arithmetic(of(23.5, context=2048, concurrency=64, sequences=64)).splitlines() == [
        "weights 18.1 GiB + KV cache 32.0 GiB (64 x 2048 tokens) + reserve 1.7 GiB = 51.8 GiB of 21.6 GiB",
        "requests of 2048 tokens at a time: 3",
    ]
    assert arithmetic(of(23.5, context=2048, width=2, cache=GIB)).splitlines() == [
        "weights 9.0 GiB + KV cache 1.0 GiB (`kv_cache_memory`) + reserve 1.9 GiB = 12.0 GiB of 23.5 GiB on each device",
        "one request of 2048 tokens takes 0.3 GiB of the KV cache",
        "requests of 2048 tokens at a time: 3",
    ]
    assert arithmetic(need(configs.GEMMA_3_4B, {}, Sizing(), Room())).splitlines()[-1] == (
        "the KV cache is an estimate: this family keeps more or less than plain attention"
    )
