from typing import Any

import pytest
from pydantic import ValidationError

from stackctl.fit.sizing import Sizing
from stackctl.servers.arguments import recorded
from stackctl.servers.vllm import Vllm
from tests.servers.flags import silent, unasked

FLAGS = recorded("vllm").flags
"""Every flag that `vllm serve` has."""

EVERYTHING = {
    "context": 1024,
    "tensor_parallel": 2,
    "pipeline_parallel": 2,
    "data_parallel": 2,
    "expert_parallel": True,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 8192,
    "gpu_memory_utilization": 0.5,
    "kv_cache_memory": "64M",
    "kv_cache_dtype": "fp8",
    "kv_offload": 32.0,
    "weights_offload": 8.0,
    "prefix_caching": False,
    "dtype": "bfloat16",
    "quantization": "fp8",
    "runner": "pooling",
    "convert": "classify",
    "hf_overrides": {"architectures": ["Qwen3ForSequenceClassification"]},
    "trust_remote_code": True,
    "generation_config": "vllm",
    "chat_template_kwargs": {"enable_thinking": False},
    "limit_mm_per_prompt": {"image": 4},
    "load_strategy": "prefetch",
    "tool_call_parser": "hermes",
    "reasoning_parser": "qwen3",
    "lora": {"sql": {"path": "sql"}},
    "max_lora_rank": 32,
    "max_loras": 2,
    "speculative": {"method": "eagle3", "tokens": 3, "draft": {"path": "eagle"}},
    "max_queued": 16,
    "sse_keep_alive": 5,
    "shutdown_timeout": 60,
    "enforce_eager": True,
}

_UNKNOWN = ("pipeline_parallel", "weights_offload")


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
    given = {"server": "vllm", "image": "v:1", "api": ("chat",), "weights": {"path": "tiny"}}

    assert silent(Vllm, given, EVERYTHING) == []
    assert unasked(Vllm, EVERYTHING) == {"concurrency"}


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


@pytest.mark.parametrize(
    "flag",
    [
        "--port=1",
        "--served-model-name",
        "-tp",
        "--shutdown-timeout",
        "--max_model_len=1",
        "--speculative-config.method=x",
    ],
)
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
    whole = {name: value for name, value in EVERYTHING.items() if name not in _UNKNOWN}

    assert vllm(**whole, concurrency=3).sizing == Sizing(
        1024, 8, 3, 2, "bfloat16", "fp8", 64 * 2**20, 0.5, eager=True
    )
    assert vllm().sizing == Sizing()


@pytest.mark.parametrize("name", _UNKNOWN)
def test_nobody_reckons_with_layers_or_weights_that_are_elsewhere(name: str) -> None:
    assert vllm(**{name: EVERYTHING[name]}).sizing is None


def test_parts_of_all_kinds_are_on_devices_of_their_own() -> None:
    assert vllm(tensor_parallel=2, pipeline_parallel=2, data_parallel=2).devices_needed == 8


def test_each_copy_of_the_engine_works_on_as_many_requests() -> None:
    assert vllm(max_num_seqs=8, data_parallel=2).endpoint().max_requests == 16


def test_adapters_and_drafts_are_mounted_beside_the_weights() -> None:
    launch = vllm(
        lora={"sql": {"path": "adapters/sql"}, "law": {"path": "adapters/law"}},
        speculative={"method": "eagle3", "tokens": 3, "draft": {"path": "eagle"}},
    ).launch("chat")

    assert launch.more_weights == ("adapters/law", "adapters/sql", "eagle")
    assert " ".join(launch.command[-12:-2]) == (
        "--enable-lora --lora-modules law=/weights/adapters/law sql=/weights/adapters/sql"
        " --spec-method eagle3 --spec-model /weights/eagle --spec-tokens 3"
    )


def test_a_mapping_is_one_argument() -> None:
    command = vllm(hf_overrides={"is_original": True, "tokens": ["no", "yes"]}).launch("chat").command

    assert command[command.index("--hf-overrides") + 1] == '{"is_original":true,"tokens":["no","yes"]}'


def test_words_that_vllm_does_not_know_are_found() -> None:
    server = vllm(
        tool_call_parser="hermse",
        quantization="fp7",
        speculative={"method": "guess", "tokens": 3},
        extra_args=("--seeed", "1", "--compilation-config.mode=3", "-O3", "--no-enable-log-requests"),
    )

    assert [(item.at, item.what) for item in server.unknown()] == [
        (("extra_args", 0), "`--seeed` is no argument of vLLM 0.33"),
        (("tool_call_parser",), "`hermse` is no `tool_call_parser` of vLLM 0.33"),
        (("quantization",), "`fp7` is no `quantization` of vLLM 0.33"),
        (("speculative", "method"), "`guess` is no way of guessing tokens of vLLM 0.33"),
    ]


@pytest.mark.parametrize(
    ("image", "certain"),
    [
        ("vllm/vllm-openai:v0.33.0", True),
        ("registry:5000/vllm-cpu:0.32.0", True),
        ("vllm/vllm-openai:v0.33.2-x86_64", True),
        ("vllm/vllm-openai:v0.34.0", False),
        ("vllm/vllm-openai:v1.0.0", False),
        ("registry:5000/ours:stable", False),
    ],
)
def test_of_an_image_that_is_newer_than_the_lists_nobody_can_be_certain(image: str, certain: bool) -> None:
    (unknown,) = vllm(image=image, tool_call_parser="hermse").unknown()

    assert unknown.certain is certain
