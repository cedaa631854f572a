from typing import Any

import pytest
from pydantic import ValidationError

from stackctl.servers.speaches import Speaches


def speaches(**settings: Any) -> Speaches:
    given = {
        "server": "speaches",
        "image": "speaches:0.9",
        "api": ("transcriptions",),
        "weights": {"repo": "Systran/faster-whisper-large-v3", "revision": "0" * 40},
    }
    return Speaches.model_validate({**given, **settings})


def test_it_finds_its_model_where_the_hubs_cache_would_have_it() -> None:
    assert speaches().launch("hear").weights_at == (
        "/home/ubuntu/.cache/huggingface/hub/models--Systran--faster-whisper-large-v3/snapshots/pinned"
    )


def test_its_settings_are_variables() -> None:
    environment = speaches(compute_type="int8", workers=2, batched=True).launch("hear").environment

    assert environment["WHISPER__COMPUTE_TYPE"] == "int8"
    assert environment["WHISPER__NUM_WORKERS"] == "2"
    assert environment["WHISPER__USE_BATCHED_MODE"] == "true"


def test_it_neither_forgets_its_model_nor_fetches_another_nor_tells_what_was_said() -> None:
    environment = speaches().launch("hear").environment

    assert (environment["WHISPER__TTL"], environment["HF_HUB_OFFLINE"], environment["LOG_LEVEL"]) == (
        "-1",
        "1",
        "info",
    )


def test_it_works_on_as_many_requests_as_it_has_workers() -> None:
    assert speaches(workers=3).endpoint().max_requests == 3


def test_it_takes_a_repository_alone() -> None:
    with pytest.raises(ValidationError):
        speaches(weights={"path": "whisper"})
