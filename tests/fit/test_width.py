from typing import Any

import pytest

from stackctl.fit.shape import shape
from stackctl.fit.width import obstacles, widths
from tests.fit import configs


def odd(config: dict[str, Any], width: int) -> tuple[str, ...]:
    found = shape(config)
    assert found is not None
    return obstacles(config, found, width)


@pytest.mark.parametrize(
    ("config", "width", "what"),
    [
        (configs.LLAMA_3_8B, 4, ()),
        (configs.LLAMA_3_8B, 16, ()),  # heads of keys and values are copied
        (configs.LLAMA_3_8B, 3, ("32 attention heads", "8 key-value heads", "`intermediate_size` 14336")),
        (
            configs.QWEN2_5_VL_7B,
            7,
            ("4 key-value heads", "`intermediate_size` 18944", "a vocabulary of 152064"),
        ),
        (configs.QWEN2_5_VL_7B, 4, ()),
        (configs.QWEN2_5_VL_7B, 8, ("28 attention heads",)),
        (configs.QWEN3_235B, 4, ()),
        (configs.QWEN3_235B, 8, ("`moe_intermediate_size` 1536 in blocks of 128",)),
        (configs.DEEPSEEK_V3, 16, ()),
    ],
)
def test_what_vllm_cannot_divide_is_named(config: dict[str, Any], width: int, what: tuple[str, ...]) -> None:
    assert sorted(odd(config, width)) == sorted(what)


def test_the_widths_that_are_left_are_known() -> None:
    found = shape(configs.QWEN3_235B)

    assert found is not None
    assert widths(configs.QWEN3_235B, found, 8) == (1, 2, 4)
