"""What is counted of requests that really went through HAProxy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.gateway.haproxy import Gateway, running, wait_for
from tests.gateway.stub import Stub, stub

URL = "/v1/chat/completions"
CHAT = {"model": "chat"}
FIRST = "stackctl_gateway_first_byte_seconds"
WHOLE = "stackctl_gateway_request_duration_seconds"
QUEUE = "stackctl_gateway_queue_seconds"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with (
        stub("127.0.0.2") as chat,
        stub("127.0.0.3") as embed,
        running("queue_timeout: 1", chat=[chat], embed=[embed]) as started,
        started.exporting(),
    ):
        yield started


@contextmanager
def counted(gateway: Gateway) -> Iterator[Callable[[], dict[str, float]]]:
    """What rose since the block began."""
    before = gateway.metrics()
    yield lambda: {
        name: value - before.get(name, 0)
        for name, value in gateway.metrics().items()
        if value != before.get(name, 0)
    }


def requests(rose: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in rose.items() if "requests_total" in name}


def test_an_answer_is_counted_for_its_model_with_its_sizes_and_times(gateway: Gateway) -> None:
    with counted(gateway) as rose:
        gateway.post(URL, CHAT | {"prompt": "x" * 100_000})
        wait_for(lambda: f'{WHOLE}_count{{model="chat"}}' in rose())
        found = rose()

    assert requests(found) == {'stackctl_gateway_requests_total{model="chat",code="200"}': 1}
    for family in ("request_duration_seconds", "first_byte_seconds", "queue_seconds"):
        assert found[f'stackctl_gateway_{family}_count{{model="chat"}}'] == 1
    assert 100_000 < found['stackctl_gateway_request_bytes_sum{model="chat"}'] < 101_000
    assert 50 < found['stackctl_gateway_response_bytes_sum{model="chat"}'] < 1000
    assert not [name for name in found if "embed" in name]


def test_the_first_byte_of_a_stream_is_that_of_its_body_and_its_end_is_later() -> None:
    with stub("127.0.0.2") as slow, running(chat=[slow]) as gateway, gateway.exporting():
        slow.first_after = 0.3
        connection = gateway.connect()
        connection.request("POST", URL, b'{"model": "chat", "stream": true}')
        response = connection.getresponse()
        response.readline()
        time.sleep(0.4)
        slow.go_on.set()
        response.read()
        connection.close()
        wait_for(lambda: gateway.metrics()[f'{WHOLE}_count{{model="chat"}}'] == 1)
        found = gateway.metrics()

    first, whole = found[f'{FIRST}_sum{{model="chat"}}'], found[f'{WHOLE}_sum{{model="chat"}}']
    assert first >= 0.29
    assert whole - first >= 0.35


def test_what_the_gateway_refuses_is_counted_and_has_no_duration(gateway: Gateway) -> None:
    with counted(gateway) as rose:
        gateway.post("/m/chat/v1/embeddings", {})
        gateway.post(URL, {"model": 'chat"] m="embed'})
        gateway.post(URL, {"model": "nope"})
        gateway.get("/v1/models")
        gateway.get("/m/chat/health")
        wait_for(lambda: sum(requests(rose()).values()) == 5)
        found = rose()

    assert requests(found) == {
        'stackctl_gateway_requests_total{model="chat",code="404"}': 1,
        'stackctl_gateway_other_requests_total{code="404"}': 2,
        'stackctl_gateway_other_requests_total{code="200"}': 2,
    }
    assert f'{WHOLE}_count{{model="chat"}}' not in found


@contextmanager
def full(gateway: Gateway, replica: Stub) -> Iterator[None]:
    """The replica of `embed` has no room."""
    replica.go_on.clear()
    connections = [gateway.connect() for _ in range(5)]
    for connection in connections:
        connection.request("POST", "/m/embed/v1/embeddings", b'{"stream": true}')
        connection.getresponse().readline()
    try:
        yield
    finally:
        for connection in connections:
            connection.close()


def test_waiting_counts_for_those_too_that_gave_up_or_got_nothing() -> None:
    with (
        stub("127.0.0.3") as embed,
        running("queue_timeout: 1", embed=[embed]) as gateway,
        gateway.exporting(),
        full(gateway, embed),
    ):
        assert gateway.post("/m/embed/v1/embeddings", {}).status == 503
        impatient = gateway.connect()
        impatient.request("POST", "/m/embed/v1/embeddings", b"{}")
        time.sleep(0.3)
        impatient.close()
        wait_for(lambda: gateway.metrics()[f'{QUEUE}_count{{model="embed"}}'] == 2)
        found = gateway.metrics()

    assert found[f'{QUEUE}_sum{{model="embed"}}'] >= 1.2
    assert found['stackctl_gateway_requests_total{model="embed",code="503"}'] == 1
    assert found['stackctl_gateway_requests_total{model="embed",code="499"}'] == 1


def test_a_stream_that_its_client_left_is_broken_and_has_no_duration() -> None:
    with stub("127.0.0.2") as chat, running(chat=[chat]) as gateway, gateway.exporting():
        connection = gateway.connect()
        connection.request("POST", URL, b'{"model": "chat", "stream": true}')
        response = connection.getresponse()
        response.readline()
        response.close()
        connection.close()
        broken = 'stackctl_gateway_broken_answers_total{model="chat",by="client"}'
        wait_for(lambda: gateway.metrics()[broken] == 1)
        found = gateway.metrics()

    assert found['stackctl_gateway_requests_total{model="chat",code="200"}'] == 1
    assert found[f'{WHOLE}_count{{model="chat"}}'] == 0


def test_a_stream_whose_replica_dies_is_broken_by_the_server() -> None:
    with stub("127.0.0.2") as chat, running(chat=[chat]) as gateway, gateway.exporting():
        connection = gateway.connect()
        connection.request("POST", URL, b'{"model": "chat", "stream": true}')
        connection.getresponse().readline()
        chat.die()
        broken = 'stackctl_gateway_broken_answers_total{model="chat",by="server"}'
        wait_for(lambda: gateway.metrics()[broken] == 1)
        connection.close()


def test_a_reload_keeps_what_was_counted_and_counts_streams_of_before() -> None:
    with stub("127.0.0.2") as chat, running(chat=[chat]) as reloaded, reloaded.exporting():
        connection = reloaded.connect()
        connection.request("POST", URL, b'{"model": "chat", "stream": true}')
        response = connection.getresponse()
        response.readline()
        reloaded.post(URL, CHAT)
        reloaded.reload()
        chat.go_on.set()
        response.read()
        connection.close()

        wait_for(lambda: reloaded.metrics()[f'{WHOLE}_count{{model="chat"}}'] == 2)


def test_without_the_program_its_metrics_alone_are_missing() -> None:
    with stub("127.0.0.2") as chat, running(chat=[chat]) as gateway:
        missing = gateway.get("/metrics/models", port=gateway.metrics_port)

        assert missing.error == "503 the program that makes these metrics does not run"
        assert gateway.get("/metrics", port=gateway.metrics_port).status == 200
        assert gateway.post(URL, CHAT).status == 200
