"""The KV cache of well-known families, against what their makers and vLLM say of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from stackctl.fit.need import GIB, Need, Room, need
from stackctl.fit.sizing import Sizing, size
from tests.fit import configs

LARGE = Room(80 * GIB)


def of(config: Mapping[str, Any], room: Room = LARGE, **sizing: Any) -> Need:
    return need(config, {}, Sizing(**sizing), room)


def bytes_of_a_token(config: Mapping[str, Any], **sizing: Any) -> float:
    """What each token more costs, far beyond any window."""
    short, long = (of(config, context=context, **sizing).cache() or 0 for context in (2**17, 2**18))
    return (long - short) / 2**17


@pytest.mark.parametrize(
    ("config", "context", "tokens"),
    [
        # vllm:cache_config_info of vLLM 0.32 on a CPU: 16384 blocks of 128 tokens, kv_cache_max_concurrency 4096
        (configs.TINY, 512, 2_097_152),
        # of a context that no whole blocks make up, what is left of the last block counts for nobody
        (configs.TINY, 200, 16384 // 2 * 200),
    ],
)
def test_the_cache_is_as_large_as_vllm_says_to_the_token(
    config: Mapping[str, Any], context: int, tokens: int
) -> None:
    found = of(config, Room(cpu=True), context=context, cache=size("1G"))

    assert found.pool is not None
    assert found.pool.block == 128 * 512  # 512 bytes a token
    assert found.pool.tokens(size("1G"), context) == tokens


@pytest.mark.parametrize(
    ("config", "room", "context", "block", "request_", "tokens"),
    [
        (configs.GEMMA_3_27B, Room(24 * GIB), 32768, 1_310_720, 5_208_801_280, 135_095),
        (configs.GPT_OSS_20B, LARGE, 131_072, 393_216, 3_627_417_600, 775_960),
        (configs.MISTRAL_7B_OF_2023, Room(24 * GIB), 32768, 2_097_152, 1_075_838_976, 654_082),
        (configs.DEEPSEEK_V3, Room(24 * GIB), 32768, 4_497_408, 2_302_672_896, 305_536),
    ],
)
def test_blocks_are_those_of_vllms_own_code(
    config: Mapping[str, Any], room: Room, context: int, block: int, request_: int, tokens: int
) -> None:
    """Printed by `get_kv_cache_groups` and `get_kv_cache_capacity` of vLLM 0.32 for such layers and 20 GiB."""
    found = of(config, room, context=context).pool

    assert found is not None
    assert (found.block, found.need(context) - found.block) == (block, request_)
    assert found.tokens(20 * GIB, context) == tokens


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (configs.LLAMA_3_8B, 131_072),
        (configs.LLAMA_3_70B, 327_680),
        # table 1 of `Insights into DeepSeek-V3`: 70.272 KB and 516.096 KB a token
        (configs.DEEPSEEK_V3, 70_272),
        (configs.LLAMA_3_405B, 516_096),
        (configs.QWEN3_32B, 262_144),
        (configs.QWEN3_235B, 192_512),
        (configs.PHI_3_MINI, 393_216),
        (configs.MISTRAL_7B, 131_072),
        (configs.QWEN2_5_VL_7B, 57_344),
        (configs.QWEN3_VL_8B, 147_456),
    ],
)
def test_a_token_of_a_plain_or_latent_family_takes_what_is_published(
    config: Mapping[str, Any], published: int
) -> None:
    if config is configs.PHI_3_MINI:  # its window is twice its context
        config = {**config, "sliding_window": None}
    assert bytes_of_a_token(config) == published
    assert of(config).exact


@pytest.mark.parametrize(
    ("config", "gib"),
    # the paper on Jamba compares them at 256K tokens of 16 bits
    [(configs.LLAMA_2_7B, 128), (configs.MISTRAL_7B, 32), (configs.JAMBA, 4)],
)
def test_a_hybrid_family_keeps_tokens_in_few_of_its_layers(config: Mapping[str, Any], gib: int) -> None:
    assert bytes_of_a_token(config) * 2**18 == pytest.approx(gib * GIB, rel=0.001)


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (configs.GEMMA_3_27B, 10 * 16 * 128),
        (configs.GEMMA_3_4B, 5 * 4 * 256),
        (configs.GPT_OSS_20B, 12 * 8 * 64),
    ],
)
def test_beyond_a_window_only_the_layers_that_see_all_take_more(
    config: Mapping[str, Any], layers: int
) -> None:
    assert bytes_of_a_token(config) == layers * 2 * 2
    assert not of(config).exact


def test_layers_with_a_window_stop_at_it_and_at_what_is_in_the_works() -> None:
    found = of(configs.MISTRAL_7B_OF_2023, Room(24 * GIB))

    # 4095 tokens of the window and two steps of 2048, in blocks of 16, and one block more
    assert found.cache() == (512 + 1 + 1) * 16 * 131_072
    assert not found.exact


def test_the_states_of_a_hybrid_are_the_same_however_long_a_request_is() -> None:
    tokens = 4 * 8 * 128 * 2 * 2
    short, long = (of(configs.NEMOTRON_H_8B, context=context).cache() or 0 for context in (8192, 81920))

    assert long - short == pytest.approx(tokens * 73728, rel=0.05)
    assert short > tokens * 8192
    assert not of(configs.NEMOTRON_H_8B).exact


def test_a_model_that_reads_once_keeps_nothing() -> None:
    assert of(configs.BERT).cache() == 0
    assert of(configs.BERT).exact


def test_of_a_family_that_nobody_knows_nothing_is_claimed() -> None:
    assert of(configs.WHISPER).cache() is None
    assert not of({**configs.LLAMA_3_8B, "model_type": "shiny"}).exact


@pytest.mark.parametrize(("width", "share"), [(1, 1), (2, 2), (8, 8), (16, 8)])
def test_keys_and_values_are_divided_by_heads_and_copied_where_there_are_too_few(
    width: int, share: int
) -> None:
    assert bytes_of_a_token(configs.QWEN3_32B, width=width) == 262_144 / share


def test_latent_vectors_are_on_every_device() -> None:
    assert bytes_of_a_token(configs.DEEPSEEK_V3, width=8) == 70_272


@pytest.mark.parametrize(
    ("sizing", "share"),
    [
        ({"cache_dtype": "fp8"}, 0.5),
        ({"dtype": "float32"}, 2),
        ({"dtype": "float32", "cache_dtype": "bfloat16"}, 1),
    ],
)
def test_the_cache_is_of_the_type_that_is_asked_for(sizing: dict[str, Any], share: float) -> None:
    assert bytes_of_a_token(configs.LLAMA_3_8B, **sizing) == 131_072 * share


def test_a_checkpoint_may_ask_for_a_cache_of_8_bits_itself() -> None:
    asking = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}

    assert bytes_of_a_token({**configs.LLAMA_3_8B, "quantization_config": asking}) == 65_536


@pytest.mark.parametrize(
    ("scaling", "context"),
    [
        (None, 40960),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        ({"type": "linear", "factor": 2}, 81920),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 40960),
    ],
)
@pytest.mark.parametrize("name", ["rope_scaling", "rope_parameters"])
def test_without_a_context_the_models_own_is_asked_for(name: str, scaling: Any, context: int) -> None:
    assert of({**configs.QWEN3_32B, name: scaling}).context == context
