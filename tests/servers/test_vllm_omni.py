from typing import Any

import pytest
from pydantic import ValidationError

from stackctl.servers.arguments import recorded
from stackctl.servers.vllm_omni import VllmOmni
from tests.servers.flags import flags, made, silent, unasked

GIVEN: dict[str, Any] = {
    "server": "vllm_omni",
    "image": "vllm/vllm-omni:v0.30.0",
    "api": ("images",),
    "weights": {"path": "qwen-image"},
}
EVERYTHING = {
    "tensor_parallel": 2,
    "ulysses_degree": 2,
    "ring_degree": 2,
    "cfg_parallel": 2,
    "context": 4096,
    "gpu_memory_utilization": 0.5,
    "quantization": {"method": "fp8"},
    "cache_backend": "cache_dit",
    "cache_config": {"rel_l1_thresh": 0.2},
    "vae_slicing": True,
    "vae_tiling": True,
    "cpu_offload": True,
    "layerwise_offload": True,
    "task_type": "Base",
    "sampling": {"0": {"num_inference_steps": 20}},
    "max_image_pixels": 1048576,
    "stage_overrides": {"0": {"gpu_memory_utilization": 0.5}},
    "trust_remote_code": True,
    "enforce_eager": True,
    "shutdown_timeout": 60,
}


def omni(**settings: Any) -> VllmOmni:
    return VllmOmni.model_validate({**GIVEN, **settings})


def test_arguments_are_what_vllm_serve_omni_wants() -> None:
    launch = omni(cfg_parallel=2, cache_config={"rel_l1_thresh": 0.2}, start_seconds=900).launch("paint")

    assert " ".join((*launch.entrypoint, *launch.command)) == (
        "vllm serve /weights/qwen-image --omni --served-model-name paint --host 0.0.0.0 --port 8000 --num-gpus 2"
        ' --cfg-parallel-size 2 --cache-config {"rel_l1_thresh":0.2} --stage-init-timeout 900 --init-timeout 900'
        " --shutdown-timeout 120"
    )


def test_every_flag_is_one_of_its_own_or_of_vllms() -> None:
    known = recorded("vllm_omni").flags | recorded("vllm").flags

    assert flags(made(VllmOmni, GIVEN, **EVERYTHING)) <= known


def test_every_setting_of_its_own_becomes_an_argument() -> None:
    assert silent(VllmOmni, GIVEN, EVERYTHING) == []
    assert unasked(VllmOmni, EVERYTHING) == {"max_requests", "devices"}


def test_all_ways_of_spreading_an_image_multiply() -> None:
    assert omni(tensor_parallel=2, ulysses_degree=2, cfg_parallel=2).devices_needed == 8


def test_a_model_in_stages_has_the_devices_that_its_stages_have() -> None:
    server = omni(devices=3)

    assert server.devices_needed == 3
    assert "--num-gpus" not in server.launch("m").command


def test_it_is_given_as_long_to_start_as_the_person_says() -> None:
    with pytest.raises(ValidationError, match="has a setting"):
        omni(extra_args=("--init-timeout", "60"))


def test_words_of_vllm_are_words_of_its_own() -> None:
    found = omni(extra_args=("--max-num-seqs", "1", "--vae-use-tilin"), cache_backend="teacache").unknown()

    assert [item.what for item in found] == [
        "`--vae-use-tilin` is no argument of vLLM-Omni 0.30",
        "`teacache` is no `cache_backend` of vLLM-Omni 0.30",
    ]
