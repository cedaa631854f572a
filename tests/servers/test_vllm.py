from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stackctl.fit.sizing import Sizing
from stackctl.servers.vllm import Vllm

FLAGS = set((Path(__file__).parent / "vllm_flags.txt").read_text().splitlines())
"""Every flag that `vllm serve --help` of vLLM 0.32 lists."""

EVERYTHING = {
    "context": 1024,
    "tensor_parallel": 2,
    "max_num_seqs": 8,
    "gpu_memory_utilization": 0.5,
    "kv_cache_memory": "64M",
    "kv_cache_dtype": "fp8",
    "dtype": "bfloat16",
    "runner": "pooling",
    "tool_call_parser": "hermes",
    "reasoning_parser": "qwen3",
    "max_queued": 16,
    "enforce_eager": True,
}


def vllm(**settings: Any) -> Vllm:
    given = {"server": "vllm", "image": "v:1", "api": ("chat",), "weights": {"path": "tiny"}, **settings}
    return Vllm.model_validate(given)


def test_arguments_are_what_vllm_serve_wants() -> None:
    command = vllm(context=1024, kv_cache_memory="64M", enforce_eager=True).launch("chat").command

    assert " ".join(command) == (
        "/weights/tiny --served-model-name chat --host 0.0.0.0 --port 8000 --max-model-len 1024"
        " --kv-cache-memory-bytes 64M --sse-keep-alive-interval 15 --shutdown-timeout 120 --enforce-eager"
        " --disable-access-log-for-endpoints /health,/metrics,/tokenize"
    )


def test_every_flag_is_one_of_vllms() -> None:
    command = vllm(**EVERYTHING, weights={"repo": "a/b", "revision": "0" * 40}).launch("chat").command

    assert {word for word in command if word.startswith("--")} <= FLAGS


def test_every_setting_of_its_own_becomes_an_argument() -> None:
    plain = len(vllm().launch("chat").command)

    for name, value in EVERYTHING.items():
        assert len(vllm(**{name: value}).launch("chat").command) > plain, name


def test_local_weights_keep_it_off_the_internet() -> None:
    assert vllm().launch("chat").environment == {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }


def test_weights_of_the_hub_are_on_the_host_before_it_starts() -> None:
    launch = vllm(weights={"repo": "Qwen/Qwen3-8B", "revision": "0" * 40}).launch("chat")

    assert launch.command[0] == "/weights/Qwen/Qwen3-8B"
    assert launch.environment["HF_HUB_OFFLINE"] == "1"


def test_the_container_gets_longer_to_stop_than_its_requests() -> None:
    assert vllm(shutdown_timeout=60).launch("chat").stop_seconds > 60 + 20


def test_a_model_spread_over_gpus_gets_more_shared_memory() -> None:
    assert vllm(tensor_parallel=2).launch("chat").shared_memory == "16g"
    assert vllm().launch("chat").shared_memory == "1g"


@pytest.mark.parametrize("flag", ["--port=1", "--served-model-name", "-tp", "--shutdown-timeout"])
def test_what_has_a_setting_is_not_an_extra_argument(flag: str) -> None:
    with pytest.raises(ValidationError, match="has a setting"):
        vllm(extra_args=(flag,))


def test_extra_arguments_come_last() -> None:
    assert vllm(extra_args=("--seed", "1")).launch("chat").command[-2:] == ("--seed", "1")


def test_a_placement_sizes_it_and_all_else_is_the_catalogues() -> None:
    sizes = {"context": 2048, "concurrency": 2, "max_num_seqs": 16, "tensor_parallel": 4}
    server = vllm(context=1024, max_num_seqs=8, kv_cache_dtype="fp8")

    command = " ".join(server.sized(sizes).launch("chat").command)

    assert "--tensor-parallel-size 4 --max-model-len 2048 --max-num-seqs 16 --kv-cache-dtype fp8" in command
    assert server.sized(sizes).endpoint().max_requests == 16
    assert server.sized(sizes).devices_needed == 4
    assert server.sized({}) == server
    assert server.unsizable(sizes) == ()


def test_what_it_has_to_do_with_memory_is_told_in_bytes() -> None:
    sizing = vllm(**EVERYTHING, concurrency=3).sizing

    assert sizing == Sizing(1024, 8, 3, 2, "bfloat16", "fp8", 64 * 2**20, 0.5, eager=True)
    assert vllm().sizing == Sizing()
