from typing import Any

import pytest
from pydantic import ValidationError

from stackctl.servers.arguments import recorded
from stackctl.servers.sglang import Sglang
from tests.servers.flags import flags, made, silent, unasked

GIVEN: dict[str, Any] = {
    "server": "sglang",
    "image": "lmsysorg/sglang:v0.5.23",
    "api": ("chat",),
    "weights": {"path": "qwen"},
}
IMAGES = {**GIVEN, "api": ("images",)}
EVERYTHING = {
    "context": 4096,
    "tensor_parallel": 2,
    "pipeline_parallel": 2,
    "data_parallel": 2,
    "max_running_requests": 8,
    "max_queued": 16,
    "mem_fraction": 0.8,
    "chunked_prefill": 2048,
    "prefix_caching": False,
    "kv_cache_dtype": "fp8_e4m3",
    "dtype": "bfloat16",
    "quantization": "fp8",
    "embedding": True,
    "trust_remote_code": True,
    "tool_call_parser": "hermes",
    "reasoning_parser": "qwen3",
    "chat_template_kwargs": {"enable_thinking": False},
    "lora": {"sql": {"path": "sql"}},
    "max_lora_rank": 32,
    "speculative_algorithm": "EAGLE3",
    "speculative_steps": 3,
    "draft": {"path": "eagle"},
    "enforce_eager": True,
}
OF_IMAGES = {
    "tensor_parallel": 2,
    "devices": 4,
    "quantization": "fp8",
    "performance_mode": "memory",
    "trust_remote_code": True,
    "stop_seconds": 30,
}


def sglang(**settings: Any) -> Sglang:
    return Sglang.model_validate({**GIVEN, **settings})


def test_arguments_are_what_sglang_serve_wants() -> None:
    command = sglang(context=4096, lora={"sql": {"path": "adapters/sql"}}).launch("chat").command

    assert " ".join(command) == (
        "sglang serve --model-type llm --model-path /weights/qwen --served-model-name chat --host 0.0.0.0"
        " --port 30000 --enable-metrics --uvicorn-access-log-exclude-prefixes /health /metrics"
        " --context-length 4096 --lora-paths sql=/weights/adapters/sql"
    )


def test_what_makes_images_is_another_server_of_the_same_program() -> None:
    command = Sglang.model_validate({**IMAGES, **OF_IMAGES}).launch("paint").command

    assert " ".join(command) == (
        "sglang serve --model-type diffusion --model-path /weights/qwen --served-model-name paint --host 0.0.0.0"
        " --port 30000 --enable-metrics=true --uvicorn-access-log-exclude-prefixes /health /metrics --num-gpus 4"
        " --tp-size 2 --quantization fp8 --performance-mode memory --trust-remote-code"
        " --http-graceful-shutdown-timeout 30"
    )


def test_every_flag_is_one_of_its_own() -> None:
    chosen = {"--model-type"}  # the choice between the two

    assert flags(made(Sglang, GIVEN, **EVERYTHING)) <= recorded("sglang").flags | chosen
    assert flags(made(Sglang, IMAGES, **OF_IMAGES)) <= recorded("sglang_images").flags | chosen


def test_every_setting_of_its_own_becomes_an_argument() -> None:
    assert silent(Sglang, GIVEN, EVERYTHING) == []
    assert silent(Sglang, IMAGES, OF_IMAGES) == []
    assert unasked(Sglang, {**EVERYTHING, **OF_IMAGES}) == set()


@pytest.mark.parametrize(
    ("given", "setting", "wording"),
    [
        (GIVEN, {"performance_mode": "speed"}, "is for what makes images"),
        (IMAGES, {"context": 4096}, "is for a language model"),
        (IMAGES, {"lora": {"sql": {"path": "sql"}}}, "is for a language model"),
        (GIVEN, {"api": ("chat", "images")}, "has `images` beside another API"),
    ],
)
def test_a_setting_of_the_other_server_is_refused(
    given: dict[str, Any], setting: dict[str, Any], wording: str
) -> None:
    with pytest.raises(ValidationError, match=wording):
        Sglang.model_validate({**given, **setting})


def test_adapters_and_drafts_are_mounted_beside_the_weights() -> None:
    launch = sglang(lora={"sql": {"path": "sql"}}, draft={"path": "eagle"}).launch("chat")

    assert launch.more_weights == ("eagle", "sql")


def test_it_waits_for_its_requests_however_long_they_take_so_the_container_ends_it() -> None:
    assert sglang(stop_seconds=60).launch("chat").stop_seconds > 60 + 60


def test_its_health_path_tells_that_it_is_to_stop() -> None:
    assert sglang().endpoint().refuses_path is None


def test_a_parser_is_one_of_its_own_and_not_of_vllms() -> None:
    found = sglang(tool_call_parser="qwen3_xml", extra_args=("--max-model-len",)).unknown()

    assert [(item.at, item.what) for item in found] == [
        (("extra_args", 0), "`--max-model-len` is no argument of SGLang 0.5.23"),
        (("tool_call_parser",), "`qwen3_xml` is no `tool_call_parser` of SGLang 0.5.23"),
    ]
