from collections.abc import Iterator

import pytest

from tests.gateway.haproxy import Gateway, running
from tests.gateway.stub import stub


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with (
        stub("127.0.0.2") as chat,
        stub("127.0.0.3") as draw,
        running("max_body: 1", chat=[chat], draw=[draw]) as started,
    ):
        yield started


def test_a_path_that_a_model_has_of_its_own_reaches_it(gateway: Gateway) -> None:
    answer = gateway.post("/m/draw/prompt", {"prompt": {}})

    assert (answer.status, answer.json["by"], answer.json["path"]) == (200, "127.0.0.3", "/prompt")


@pytest.mark.parametrize("path", ["/m/draw/history", "/m/draw/history?max_items=1", "/m/draw/prompt"])
def test_what_may_be_read_is_read(gateway: Gateway, path: str) -> None:
    assert gateway.get(path).status == 200


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (
            "/m/chat/history",
            "404 the model `chat` does not answer /history; GET /v1/models lists what each does",
        ),
        ("/m/draw/free", "404 there is no /free"),
        ("/m/draw/v1/chat/completions", "405 /v1/chat/completions takes POST"),
        ("/history", "405 /history takes POST"),
    ],
)
def test_what_is_not_the_models_to_read_is_not_read(gateway: Gateway, path: str, error: str) -> None:
    assert gateway.get(path).error == error


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (
            "/m/draw/history",
            "404 the model `draw` does not answer /history; GET /v1/models lists what each does",
        ),
        (
            "/m/chat/prompt",
            "404 the model `chat` does not answer /prompt; GET /v1/models lists what each does",
        ),
    ],
)
def test_what_may_only_be_read_is_not_posted_to(gateway: Gateway, path: str, error: str) -> None:
    assert gateway.post(path, {}).error == error


def test_other_ways_of_asking_are_refused(gateway: Gateway) -> None:
    assert gateway.get("/m/draw/history", "DELETE").status == 405
