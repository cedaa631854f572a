"""What is done with the requests for one model, other than for the rest; and how each request is told apart."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway.haproxy import Gateway, running, wait_for
from tests.gateway.stub import Stub, stub
from tests.gateway.test_replicas import EMBED, ROOM, queued, server_name, streaming

URL = "/v1/chat/completions"


@pytest.fixture
def two() -> Iterator[list[Stub]]:
    with stub("127.0.0.2") as one, stub("127.0.0.3") as other:
        yield [one, other]


def body(size: int, model: str) -> bytes:
    """A request of as many MiB."""
    return json.dumps({"model": model, "prompt": "x" * (size * 1024 * 1024)}).encode()


@pytest.fixture(scope="module")
def limits() -> Iterator[Gateway]:
    """One model takes more than usual, and one less."""
    own = "max_body: 3, models: {chat: {max_body: 5}, embed: {max_body: 1}}"
    with (
        stub("127.0.0.2") as chat,
        stub("127.0.0.3") as embed,
        stub("127.0.0.4") as listen,
        running(own, chat=[chat], embed=[embed], listen=[listen]) as started,
    ):
        yield started


def test_a_model_takes_requests_up_to_its_own_size(limits: Gateway) -> None:
    assert limits.post("/v1/completions", body(4, "chat")).status == 200
    assert limits.post("/v1/completions", body(9, "chat")).error == (
        "413 the request is larger than the 5 MiB that may be read here; /m/MODEL/v1 takes any size"
    )


@pytest.mark.parametrize("path", ["/v1/embeddings", "/m/embed/v1/embeddings"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_models_own_size_holds_at_both_of_its_urls(limits: Gateway, path: str, chunked: bool) -> None:
    large = body(12, "embed") if "/m/" in path else body(2, "embed")

    answer = limits.ask("POST", path, iter([large]) if chunked else large, {})

    assert answer.error == "413 the request is larger than the 1 MiB that `embed` takes"
    assert answer.json["error"]["code"] == "request_too_large"


def test_the_usual_size_holds_for_models_without_their_own_where_the_body_names_them(limits: Gateway) -> None:
    path = "/v1/audio/transcriptions"

    assert limits.post(path, body(4, "listen")).error == (
        "413 the request is larger than the 3 MiB that `listen` takes here; /m/MODEL/v1 takes any size"
    )
    assert limits.post(f"/m/listen{path}", body(4, "listen")).status == 200


def test_one_request_more_than_may_wait_is_refused_at_once() -> None:
    with (
        stub("127.0.0.2") as only,
        running("models: {embed: {queue: 1}}", embed=[only]) as gateway,
        streaming(gateway, ROOM, EMBED),
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(gateway.post, EMBED, {})
        wait_for(lambda: queued(gateway) == 1)

        late = gateway.post(EMBED, {})

        assert late.error == "503 too many requests wait for `embed` already"
        assert (late.json["error"]["code"], late.headers["retry-after"]) == ("queue_full", "5")
        only.go_on.set()
        assert waiting.result().status == 200


def test_a_model_has_its_own_patience() -> None:
    with (
        stub("127.0.0.2") as only,
        running("models: {embed: {queue_timeout: 1}}", embed=[only]) as gateway,
        streaming(gateway, ROOM, EMBED),
    ):
        assert gateway.post(EMBED, {}).error == "503 every replica of `embed` is busy or out of reach"


STICKY = "models: {chat: {balance: sticky, prefix: 64}}"


def test_what_belongs_together_goes_to_one_replica_and_the_rest_to_all(two: list[Stub]) -> None:
    def replica_of(fields: Mapping[str, object], headers: Mapping[str, str]) -> str:
        # A request that is just ending still counts as one more for its replica to do.
        wait_for(lambda: idle(gateway))
        return str(gateway.post(URL, {**fields, "model": "chat"}, headers).json["by"])

    def replicas_of(*requests: tuple[Mapping[str, object], Mapping[str, str]]) -> set[str]:
        return {replica_of(*request) for request in requests}

    with running(STICKY, chat=two) as gateway:
        for name in "abc":
            turns = [{"messages": [name], "n": turn} for turn in range(3)]
            assert len(replicas_of(*((turn, {"X-Session-Id": name}) for turn in turns))) == 1
            assert len(replicas_of(*(({"n": turn, "prompt_cache_key": name}, {}) for turn in range(3)))) == 1
            assert len(replicas_of(*(({"n": turn, "user": name}, {}) for turn in range(3)))) == 1
            assert len(replicas_of(*(({"prompt": name * 64 + str(turn)}, {}) for turn in range(3)))) == 1
        assert len(replicas_of(*(({}, {"X-Session-Id": str(turn)}) for turn in range(12)))) == 2
        assert len(replicas_of(*(({"user": str(turn)}, {}) for turn in range(12)))) == 2
        assert len(replicas_of(*(({"prompt": str(turn) * 64}, {}) for turn in range(12)))) == 2


def idle(gateway: Gateway) -> bool:
    names, values = (line.split(",") for line in gateway.tell("show stat model-chat 2 -1").splitlines()[:2])
    return values[names.index("scur")] == "0"


def test_what_belongs_together_leaves_a_replica_that_is_busier_than_the_others(two: list[Stub]) -> None:
    with running(STICKY, chat=two) as gateway, streaming(gateway, 8):
        assert sorted(len(replica.served) for replica in two) != [0, 8]


def test_what_belongs_together_stays_so_when_its_replica_is_gone(two: list[Stub]) -> None:
    session = {"X-Session-Id": "a"}
    with running(STICKY, chat=two) as gateway:
        first = gateway.post(URL, {"model": "chat"}, session).json["by"]
        (gone,) = (replica for replica in two if replica.server_address[0] == first)
        gateway.tell(f"set server model-chat/{server_name(gone)} state drain")

        after = {gateway.post(URL, {"model": "chat"}, session).json["by"] for _ in range(5)}

    assert after == {"127.0.0.2", "127.0.0.3"} - {first}


@pytest.mark.parametrize("asked", ["7b2e-41", "a/b:c=d+e.f_g", "x" * 128])
def test_a_clients_request_id_goes_to_the_replica_and_back_and_is_in_the_log(
    two: list[Stub], asked: str
) -> None:
    with running(chat=two[:1]) as gateway:
        answer = gateway.post(URL, {"model": "chat"}, {"X-Request-Id": asked})

        assert answer.headers["x-request-id"] == asked
        assert two[0].headers[-1]["x-request-id"] == asked
        wait_for(lambda: f" id={asked}\n" in gateway.log())


@pytest.mark.parametrize("asked", [None, "", "a b", 'a"b', "x" * 129, "<script>"])
def test_a_request_without_an_id_that_can_stand_in_a_log_gets_one(two: list[Stub], asked: str | None) -> None:
    with running(chat=two[:1]) as gateway:
        headers = {} if asked is None else {"X-Request-Id": asked}
        first, second = (gateway.post(URL, {"model": "chat"}, headers).headers["x-request-id"] for _ in "12")

    assert [found["x-request-id"] for found in two[0].headers] == [first, second]
    assert len({first, second, asked}) == 3
    assert len(first) == 36


def test_a_refused_request_has_an_id_as_well(two: list[Stub]) -> None:
    with running("max_body: 1", chat=two[:1]) as gateway:
        for path, sent in (("/v1/nope", b"{}"), (URL, b'{"model":"nope"}'), (URL, body(2, "chat"))):
            assert gateway.post(path, sent, {"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
