"""Models beside the GPUs they are placed on: what `validate` says of their memory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stackctl.core.finding import FindingsError
from stackctl.schema.load import load_with_warnings
from stackctl.schema.model_fit import arithmetic, problems
from tests.fit import configs
from tests.inventory import project

GIB = 2**30
CARDS = {"4090": "10de:2684", "l40s": "10de:26b9", "new": "10de:3182", "3090": "10de:2204"}


def written(folder: Path, card: str, placement: str, *, model: str = "", gpu: str = "") -> Path:
    """A project: GPUs `a` and `b` of host `h` in lines 7 and 8, the placements in line 9."""
    uuid = "GPU-00000000-0000-4000-8000-00000000000"
    cards = "".join(
        f'      {name}: {{uuid: {uuid}{number}, id: "{CARDS[card]}"{gpu}}}\n'
        for number, name in enumerate("ab")
    )
    hosts = f"hosts:\n  h:\n    address: 10.0.0.1\n    roles: [gateway, models]\n    gpus:\n{cards}"
    return project(folder, f"{hosts}placements: {placement}\n", catalogue(model)).root


def catalogue(model: str) -> str:
    head = 'server: vllm, image: "vllm:1", api: [chat]'
    return (
        f"models:\n  big: {{{head}, weights: {{repo: q/big}}, context: 32768{model}}}\n"
        f"  small: {{{head}, weights: {{repo: q/small}}, context: 8192, kv_cache_memory: 4G}}\n"
        f"  local: {{{head}, weights: {{path: somewhere}}}}\n"
    )


def lock(root: Path, config: Mapping[str, Any], gib: float) -> None:
    """What is known of both repositories; the small one is always the same."""
    entries = {
        f"q/{name}@main": {
            "commit": "c" * 40,
            "files": {"model.safetensors": {"size": int(size * GIB), "sha256": "0" * 64}},
            "config": config,
        }
        for name, config, size in (("big", config, gib), ("small", configs.LLAMA_3_8B, 15))
    }
    (root / "inventory/weights.lock").write_text(json.dumps(entries))


def said(root: Path, config: Mapping[str, Any] = configs.QWEN3_32B, gib: float = 18.1) -> list[str]:
    """Findings of the fit alone: `6 error WHAT | HINT`."""
    lock(root, config, gib)
    try:
        findings = load_with_warnings(root, "test", (problems,))[1]
    except FindingsError as error:
        findings = error.findings
    return [f"{item.where.partition(':')[2]} {item.severity} {item.what} | {item.hint}" for item in findings]


AWQ = {**configs.QWEN3_32B, "quantization_config": {"quant_method": "awq"}}


def test_what_does_not_start_is_refused_with_its_arithmetic_and_what_would_fit(tmp_path: Path) -> None:
    root = written(tmp_path, "4090", "{big: [{host: h, devices: [a]}]}")

    assert said(root, AWQ) == [
        (
            "9 error `big` does not fit on `a` of h: it needs at least weights 18.1 GiB + KV cache 8.0 GiB"
            " (1 x 32768 tokens) + reserve 0.5 GiB = 26.6 GiB, and has 21.6 GiB"
            " | `context 5888`, or `tensor_parallel 2` would fit"
        )
    ]


def test_what_starts_only_with_less_reserve_than_usual_is_a_warning(tmp_path: Path) -> None:
    root = written(tmp_path, "4090", "{big: [{host: h, devices: [a], context: 8192}]}")

    assert said(root, AWQ) == [
        (
            "9 warning `big` may not start on `a` of h: it needs weights 18.1 GiB + KV cache 2.0 GiB"
            " (1 x 8192 tokens) + reserve 2.1 GiB = 22.2 GiB, and has 21.6 GiB"
            " | `context 5888`, or `tensor_parallel 2`, or `kv_cache_dtype fp8` would fit"
        )
    ]


def test_requests_that_would_have_to_wait_are_a_warning(tmp_path: Path) -> None:
    root = written(tmp_path, "l40s", "{big: [{host: h, devices: [a], concurrency: 9}]}")

    assert said(root, AWQ) == [
        (
            "9 warning `big` works on 2 requests of 32768 tokens at a time on `a` of h, of 9 wanted; the others wait"
            " | `context 9216`, or `concurrency 2` would fit"
        )
    ]


@pytest.mark.parametrize(
    "placement", ["devices: [a], context: 4096", "devices: [a, b], tensor_parallel: 2", "devices: [cpu]"]
)
def test_a_placement_that_is_sized_to_fit_is_not_complained_of(tmp_path: Path, placement: str) -> None:
    root = written(tmp_path, "4090", f"{{big: [{{host: h, {placement}}}]}}")

    assert said(root, AWQ) == []


def test_weights_that_nothing_helps_need_another_gpu(tmp_path: Path) -> None:
    root = written(tmp_path, "4090", "{big: [{host: h, devices: [a]}]}")

    assert said(root, configs.QWEN3_32B, gib=61)[0].endswith("| use a larger GPU, or weights of fewer bits")


def test_a_family_that_is_only_estimated_is_named_and_nothing_is_refused(tmp_path: Path) -> None:
    root = written(tmp_path, "4090", "{big: [{host: h, devices: [a]}, {host: h, devices: [b], port: 8001}]}")

    findings = said(root, {**configs.GEMMA_3_27B, "quantization_config": {"quant_method": "awq"}}, gib=21)

    assert findings[0] == (
        "2 warning the KV cache of `big`, of the family `gemma3_text`, is estimated only: whether it fits is not certain"
        " | compare with what vLLM says of its cache when it starts, and write `kv_cache_memory` to be sure"
    )
    assert [text.split(" it needs")[0] for text in findings[1:]] == [
        "9 warning `big` does not fit on `a` of h:",
        "9 warning `big` does not fit on `b` of h:",
    ]


def test_devices_that_a_model_cannot_be_divided_by_are_refused(tmp_path: Path) -> None:
    root = written(tmp_path, "l40s", "{big: [{host: h, devices: [a, b], tensor_parallel: 2}]}")
    odd = {**AWQ, "num_attention_heads": 25, "num_key_value_heads": 5, "vocab_size": 152000}

    assert said(root, odd) == [
        (
            "9 error `big` cannot be spread over 2 devices: 25 attention heads and 5 key-value heads cannot be divided"
            " by that | write `tensor_parallel` 5"
        )
    ]


def test_a_card_of_unknown_memory_is_told_once_and_helped_by_a_setting(tmp_path: Path) -> None:
    twice = "{big: [{host: h, devices: [a]}, {host: h, devices: [a], port: 8001, context: 64}]}"
    (tmp_path / "known").mkdir()
    (tmp_path / "unknown").mkdir()

    unknown = said(written(tmp_path / "unknown", "new", twice), AWQ)
    assert (
        "7 warning `hosts.h.gpus.a` has a memory that is not known, so that nobody checks whether models fit | add `memory`, such as `24G`, as `nvidia-smi` prints it"
        in unknown
    )
    assert [text for text in unknown if "does not fit" in text] == []

    known = said(
        written(tmp_path / "known", "new", "{big: [{host: h, devices: [a]}]}", gpu=", memory: 24564M"), AWQ
    )
    assert known[0].startswith("9 error `big` does not fit on `a` of h: it needs at least")


def test_a_card_that_is_cut_into_instances_is_not_judged_as_a_whole(tmp_path: Path) -> None:
    root = written(tmp_path, "4090", "{big: [{host: h, devices: [a]}]}", gpu=", tuning: {mig: [1g.10gb]}")

    assert said(root, AWQ) == []


@pytest.mark.parametrize(("ecc", "refused"), [("true", True), ("false", False)])
def test_error_correction_takes_its_part_of_the_memory(tmp_path: Path, ecc: str, refused: bool) -> None:
    root = written(tmp_path, "l40s", "{big: [{host: h, devices: [a]}]}", gpu=f", tuning: {{ecc: {ecc}}}")

    assert bool(said(root, AWQ, gib=33.5)) is refused


@pytest.mark.parametrize(("share", "findings"), [("0.55", 1), ("0.3", 0)])
def test_a_share_and_a_number_of_bytes_on_one_gpu_are_added(
    tmp_path: Path, share: str, findings: int
) -> None:
    both = "{big: [{host: h, devices: [a]}], small: [{host: h, devices: [a], port: 8001}]}"
    root = written(tmp_path, "l40s", both, model=f", gpu_memory_utilization: {share}")

    told = said(root, configs.LLAMA_3_8B, gib=6)

    assert len(told) == findings
    for text in told:
        assert text == (
            "9 error models on h's GPU `a` take 44.0 GiB of its 44.5 GiB together: `big` 24.5 GiB, `small` 19.5 GiB"
            " | lower `kv_cache_memory` or `gpu_memory_utilization` so that they stay under 42.3 GiB"
        )


def test_a_model_that_no_lock_knows_is_not_judged(tmp_path: Path) -> None:
    root = written(tmp_path, "4090", "{local: [{host: h, devices: [a]}]}")

    assert said(root) == []


def test_the_arithmetic_is_there_for_an_error_that_comes_later(tmp_path: Path) -> None:
    root = written(
        tmp_path, "l40s", "{big: [{host: h, devices: [a]}], local: [{host: h, devices: [b], port: 8001}]}"
    )
    lock(root, AWQ, 18.1)
    fleet = load_with_warnings(root, "test")[0]
    (big,), (local,) = fleet.placements["big"], fleet.placements["local"]

    assert arithmetic(fleet, "big", big).splitlines() == [
        "weights 18.1 GiB + KV cache 8.0 GiB (1 x 32768 tokens) + reserve 2.1 GiB = 28.2 GiB of 40.9 GiB",
        "requests of 32768 tokens at a time: 2",
    ]
    assert arithmetic(fleet, "local", local) == ""
