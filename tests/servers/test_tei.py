from typing import Any

import pytest
from pydantic import ValidationError

from stackctl.servers.arguments import recorded
from stackctl.servers.tei import Tei
from tests.servers.flags import flags, made, silent, unasked

GIVEN: dict[str, Any] = {
    "server": "tei",
    "image": "ghcr.io/huggingface/text-embeddings-inference:89-1.9",
    "api": ("embeddings",),
    "weights": {"repo": "BAAI/bge-m3", "revision": "0" * 40},
}
EVERYTHING = {
    "dtype": "float16",
    "pooling": "cls",
    "max_concurrent_requests": 64,
    "max_batch_tokens": 32768,
    "max_batch_requests": 16,
    "max_client_batch_size": 64,
    "auto_truncate": True,
    "default_prompt_name": "query",
    "payload_limit": 8000000,
    "tokenization_workers": 4,
}


def tei(**settings: Any) -> Tei:
    return Tei.model_validate({**GIVEN, **settings})


def test_arguments_are_what_the_router_wants() -> None:
    assert " ".join(tei(pooling="cls", auto_truncate=True).launch("embed").command) == (
        "--model-id /weights/BAAI/bge-m3 --served-model-name embed --port 80 --pooling cls"
        " --max-concurrent-requests 512 --auto-truncate"
    )


def test_every_flag_is_one_of_its_own() -> None:
    assert flags(made(Tei, GIVEN, **EVERYTHING)) <= recorded("tei").flags


def test_every_setting_of_its_own_becomes_an_argument() -> None:
    assert silent(Tei, GIVEN, EVERYTHING) == []
    assert unasked(Tei, EVERYTHING) == {"stop_seconds"}


@pytest.mark.parametrize(
    ("api", "paths"),
    [("embeddings", ("/embed", "/embed_sparse")), ("classify", ("/predict",)), ("rerank", ())],
)
def test_its_own_paths_go_with_its_apis(api: str, paths: tuple[str, ...]) -> None:
    assert tei(api=(api,)).own_paths == paths
    assert tei(api=(api,), paths=("/similarity",)).own_paths == ("/similarity", *paths)


def test_it_takes_as_many_requests_as_it_says() -> None:
    assert tei(max_concurrent_requests=64).endpoint().max_requests == 64


def test_its_device_is_the_placements() -> None:
    with pytest.raises(ValidationError, match="has a setting"):
        tei(extra_args=("--device-id=1",))


def test_a_word_that_it_does_not_know_is_found() -> None:
    assert [item.word for item in tei(extra_args=("--max-batch-size", "1")).unknown()] == ["--max-batch-size"]
