"""Configurations are other people's files: whatever is in them, the reckoning says something or nothing."""

from typing import Any

import pytest

from stackctl.fit.advice import instead
from stackctl.fit.need import GIB, Room, need
from stackctl.fit.shape import shape
from stackctl.fit.sizing import Sizing
from stackctl.fit.width import widths
from stackctl.fit.wording import arithmetic
from tests.fit import configs

ODD: tuple[Any, ...] = (None, 0, -1, 1, 10**6, "x", "", [], ["x", 1, {}], {}, {"factor": "x"}, 1.5, True)
KNOWN: list[dict[str, Any]] = [
    {**configs.QWEN3_32B, "rope_scaling": None, "layer_types": None, "linear_attn_config": None},
    configs.QWEN3_235B,
    configs.PHI_3_MINI,
    configs.DEEPSEEK_V3,
    configs.GEMMA_3_4B,
    configs.GPT_OSS_20B,
    configs.JAMBA,
    configs.NEMOTRON_H_8B,
    {**configs.NEMOTRON_H_8B, "hybrid_override_pattern": None, "attn_layer_indices": [1, 2]},
    configs.BERT,
]


def variations(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The configuration with one value after the other replaced by an odd one, or left out."""
    parts = [(config, config), *((config, part) for part in config.values() if isinstance(part, dict))]
    found = []
    for whole, part in parts:
        for key in part:
            changed = [{**part, key: value} for value in ODD]
            changed.append({name: value for name, value in part.items() if name != key})
            names = [name for name, value in whole.items() if value is part]
            found += [{**whole, names[0]: item} if names else item for item in changed]
    return found


@pytest.mark.parametrize("config", KNOWN, ids=lambda item: str(item["model_type"]))
def test_no_value_however_odd_is_stumbled_over(config: dict[str, Any]) -> None:
    room, sizing = Room(24 * GIB), Sizing(concurrency=4, width=2)

    for item in variations(config):
        found = need(item, {"model.safetensors": 30 * GIB}, sizing, room)
        assert arithmetic(found)
        assert found.verdict in {"fits", "queues", "tight", "refused"}
        read = shape(item)
        assert read is None or 1 in widths(item, read, 2)


def test_advice_is_given_without_stumbling_as_well() -> None:
    room = Room(24 * GIB)

    for item in variations(configs.NEMOTRON_H_8B):
        found = need(item, {"model.safetensors": 30 * GIB}, Sizing(), room)
        assert len(instead(item, {"model.safetensors": 30 * GIB}, found, room, 2, fp8=True)) <= 3
