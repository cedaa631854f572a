"""What a key opens, and that it goes no further than the gateway."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.gateway.haproxy import Gateway, read, running, wait_for
from tests.gateway.stub import Stub, stub

URL = "/v1/chat/completions"
EMBED = "/v1/embeddings"
OPERATOR = "sk-operator-4f9a2c71d0e8"
BATCH = "sk-batch-91be07d34c5f60aa"
OF_OPERATOR = {"Authorization": f"Bearer {OPERATOR}"}
OF_BATCH = {"Authorization": f"Bearer {BATCH}"}
LARGE = b'{"prompt":"' + b"x" * 12_000_000 + b'","model":"chat"}'


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


ONLY = f"operator: {{sha256: {hashed(OPERATOR)}}}"
BOTH = f"{ONLY}, batch: {{sha256: {hashed(BATCH)}, models: [embed], rate: 3/h}}"


@pytest.fixture(scope="module")
def chat() -> Iterator[Stub]:
    with stub("127.0.0.2") as started:
        yield started


@pytest.fixture(scope="module")
def gateway(chat: Stub) -> Iterator[Gateway]:
    with stub("127.0.0.3") as embed, running(f"keys: {{{BOTH}}}", chat=[chat], embed=[embed]) as started:
        yield started


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer sk-guess"}, {"Authorization": f"Basic {OPERATOR}"}, {"x-api-key": ""}],
    ids=["no key", "another key", "no bearer", "an empty key"],
)
@pytest.mark.parametrize(
    "path", [URL, "/m/chat/v1/chat/completions", "/m/nope/v1/chat/completions", "/metrics"]
)
def test_without_a_key_that_is_known_nothing_is_answered(
    gateway: Gateway, path: str, headers: dict[str, str]
) -> None:
    answer = gateway.post(path, {"model": "chat"}, headers)

    assert answer.error == "401 a key that is known here is needed: Authorization: Bearer KEY"
    assert answer.json["error"]["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/chat", "/m/chat/v1/models", "/m/chat/health"])
def test_without_a_key_no_model_is_told(gateway: Gateway, path: str) -> None:
    assert gateway.get(path).status == 401


def test_a_client_without_a_key_is_told_so_however_much_it_sends(gateway: Gateway) -> None:
    assert gateway.post(URL, LARGE).status == 401
    assert gateway.ask("POST", "/m/chat/v1/chat/completions", iter([LARGE]), {}).status == 401


def test_the_gateways_own_health_takes_no_key(gateway: Gateway) -> None:
    assert gateway.get("/health").status == 200


@pytest.mark.parametrize(
    "headers",
    [OF_OPERATOR, {"authorization": f"bearer {OPERATOR}"}, {"X-Api-Key": OPERATOR}, {"api-key": OPERATOR}],
    ids=lambda headers: next(iter(headers)),
)
def test_a_key_goes_no_further_and_its_name_is_in_the_log(
    gateway: Gateway, chat: Stub, headers: dict[str, str]
) -> None:
    asked = f"the-one-with-{next(iter(headers))}"

    answer = gateway.post(URL, {"model": "chat"}, {**headers, "x-request-id": asked})

    assert answer.status == 200
    assert OPERATOR not in str(chat.headers)
    assert not {"authorization", "x-api-key", "api-key"} & set(chat.headers[-1])
    wait_for(lambda: f" key=operator id={asked}\n" in gateway.log())
    assert OPERATOR not in gateway.log()


def test_the_list_of_models_has_those_that_the_key_may_use(gateway: Gateway) -> None:
    def listed(headers: dict[str, str]) -> list[str]:
        return [model["id"] for model in gateway.get("/v1/models", headers=headers).json["data"]]

    assert listed(OF_OPERATOR) == ["chat", "embed"]
    assert listed(OF_BATCH) == ["embed"]
    assert gateway.get("/v1/models/embed", headers=OF_BATCH).json["id"] == "embed"


@pytest.mark.parametrize("path", [URL, "/m/chat/v1/chat/completions", "/m/chat/health"])
def test_a_model_that_the_key_may_not_use_is_refused_with_those_it_may(gateway: Gateway, path: str) -> None:
    answer = gateway.post(path, {"model": "chat"}, OF_BATCH)

    assert answer.error == "403 this key may not use `chat`; there is `embed`"
    assert answer.json["error"]["code"] == "model_not_allowed"
    assert gateway.get("/v1/models/chat", headers=OF_BATCH).error == answer.error
    assert gateway.get("/m/chat/v1/models", headers=OF_BATCH).error == answer.error


def test_an_unknown_model_is_answered_with_those_of_the_key(gateway: Gateway) -> None:
    asked = {"model": "nope"}

    assert (
        gateway.post(URL, asked, OF_OPERATOR).error
        == "404 unknown model `nope`; there are `chat` and `embed`"
    )
    assert gateway.post(URL, asked, OF_BATCH).error == "404 unknown model `nope`; there is `embed`"


def test_a_key_makes_as_many_requests_as_it_may_and_those_that_reach_no_model_do_not_count(
    gateway: Gateway,
) -> None:
    for _ in range(3):
        assert gateway.post(EMBED, {"model": "chat"}, OF_BATCH).status == 403
        assert gateway.get("/m/embed/health", headers=OF_BATCH).status == 200
        assert gateway.post(EMBED, {"model": "embed"}, OF_BATCH).status == 200

    late = gateway.post(EMBED, {"model": "embed"}, OF_BATCH)

    assert late.error == "429 `batch` may make 3/h requests, and has"
    assert late.json["error"]["code"] == "rate_limit_exceeded"
    assert late.headers["retry-after"] == "60"
    assert gateway.post("/m/embed/v1/embeddings", {}, OF_BATCH).status == 429
    assert gateway.post(EMBED, {"model": "embed"}, OF_OPERATOR).status == 200


def test_requests_beyond_a_rate_do_not_keep_the_key_out() -> None:
    with (
        stub("127.0.0.4") as embed,
        running(f"keys: {{a: {{sha256: {hashed(BATCH)}, rate: 1/s}}}}", embed=[embed]) as gateway,
    ):

        def status() -> int:
            return gateway.post(EMBED, {"model": "embed"}, OF_BATCH).status

        wait_for(lambda: status() == 429)
        wait_for(lambda: status() == 200)


def test_a_revoked_key_opens_nothing_after_a_reload_and_its_stream_goes_on() -> None:
    with (
        stub("127.0.0.5") as chat,
        running(f"keys: {{{BOTH.replace('models: [embed], ', '')}}}", chat=[chat]) as gateway,
    ):
        connection = gateway.connect()
        connection.request("POST", URL, b'{"model": "chat", "stream": true}', OF_BATCH)
        stream = connection.getresponse()
        assert stream.readline() == b"data: first\n"

        gateway.become(f"keys: {{{ONLY}}}")

        assert gateway.post(URL, {"model": "chat"}, OF_BATCH).status == 401
        assert gateway.post(URL, {"model": "chat"}, OF_OPERATOR).status == 200
        chat.go_on.set()
        assert read(stream).body == b"\ndata: [DONE]\n\n"
        connection.close()
