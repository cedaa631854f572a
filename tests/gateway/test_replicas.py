import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse

import pytest

from tests.gateway.haproxy import Gateway, read, running, wait_for
from tests.gateway.stub import Stub, stub

URL = "/v1/chat/completions"
CHAT = {"model": "chat"}
EMBED = "/m/embed/v1/embeddings"
ROOM = 5
"""Requests that the replica of `embed` is given: the four it works on, and a quarter more."""


@pytest.fixture
def two() -> Iterator[list[Stub]]:
    with stub("127.0.0.2") as one, stub("127.0.0.3") as other:
        yield [one, other]


@contextmanager
def streaming(gateway: Gateway, count: int, url: str = URL) -> Iterator[list[HTTPResponse]]:
    """Streams that have begun and are held open by their replicas."""
    with ExitStack() as stack:
        responses = []
        for _ in range(count):
            connection = gateway.connect()
            stack.callback(connection.close)
            connection.request("POST", url, b'{"model": "chat", "stream": true}')
            responses.append(connection.getresponse())
            assert responses[-1].readline() == b"data: first\n"
        yield responses


@contextmanager
def asking(gateway: Gateway, *, keep: bool) -> Iterator[list[int]]:
    """Statuses of what four clients ask without a pause, each on one connection or on ever new ones."""
    stop = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        connection = gateway.connect()
        while not stop.is_set():
            connection.request("POST", URL, b'{"model": "chat"}')
            statuses.append(read(connection.getresponse()).status)
            if not keep:
                connection.close()
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask) for _ in range(4)]
        try:
            yield statuses
        finally:
            stop.set()
    for client in clients:
        client.result()


def test_a_streams_first_piece_does_not_wait_for_the_next(two: list[Stub]) -> None:
    with running(chat=two) as gateway:
        taken = []
        for _ in range(5):
            begun = time.monotonic()
            with streaming(gateway, 1):
                taken.append(time.monotonic() - begun)

    assert sorted(taken)[2] < 0.1


def test_requests_go_where_fewest_are_worked_on(two: list[Stub]) -> None:
    with running(chat=two) as gateway, streaming(gateway, 6):
        assert [len(replica.served) for replica in two] == [3, 3]


def test_a_replica_that_dies_loses_no_request(two: list[Stub]) -> None:
    with running(chat=two) as gateway, asking(gateway, keep=True) as statuses:
        wait_for(lambda: len(two[0].served) > 20)
        two[0].die()
        reached = len(statuses)
        wait_for(lambda: len(statuses) > reached + 200)

    assert set(statuses) == {200}


def test_a_request_that_a_full_replica_refuses_is_answered_by_another(two: list[Stub]) -> None:
    two[0].status = 503
    with running(chat=two) as gateway:
        answers = [gateway.post(URL, CHAT | {"prompt": "x" * 100_000}) for _ in range(50)]

    assert {(answer.status, answer.json["by"]) for answer in answers} == {(200, "127.0.0.3")}


def test_a_request_that_breaks_a_replica_is_not_tried_on_another(two: list[Stub]) -> None:
    two[0].status = two[1].status = 500
    with running(chat=two) as gateway:
        assert gateway.post(URL, CHAT).status == 500

    assert two[0].served + two[1].served == []


def test_without_a_live_replica_the_answer_says_so_and_when_to_come_back() -> None:
    with stub("127.0.0.2") as only, running(chat=[only]) as gateway:
        assert gateway.get("/m/chat/health").status == 200
        only.healthy = False
        wait_for(lambda: gateway.post(URL, CHAT).status == 503)
        answer = gateway.post(URL, CHAT)

        assert answer.error == "503 no replica of `chat` is up"
        assert answer.headers["retry-after"] == "10"
        assert gateway.get("/m/chat/health").status == 503
        assert gateway.get("/health").status == 200

        only.healthy = True
        wait_for(lambda: gateway.post(URL, CHAT).status == 200)


def test_a_replica_out_of_reach_is_the_same_before_the_first_check() -> None:
    with stub("127.0.0.2") as gone:
        gone.die()
        with running(chat=[gone]) as gateway:
            answer = gateway.post(URL, CHAT)

    assert answer.error in (
        "503 no replica of `chat` is up",
        "503 every replica of `chat` is busy or out of reach",
    )
    assert answer.headers["retry-after"] in ("5", "10")


def test_what_replicas_have_no_room_for_waits_for_a_while() -> None:
    with (
        stub("127.0.0.2") as only,
        running("queue_timeout: 1", embed=[only]) as gateway,
        streaming(gateway, ROOM, EMBED),
    ):
        late = gateway.post(EMBED, {})
        assert late.error == "503 every replica of `embed` is busy or out of reach"

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(gateway.post, EMBED, {})
            wait_for(lambda: queued(gateway) == 1)
            only.go_on.set()
            assert waiting.result().status == 200


def test_a_vllm_that_was_told_to_stop_gets_no_more_requests_though_it_calls_itself_healthy(
    two: list[Stub],
) -> None:
    with running(llm=two) as gateway:
        two[0].status = 500

        wait_for(lambda: ",DOWN," in stats_of(gateway, two[0]))
        answers = [gateway.post(URL, {"model": "llm"}) for _ in range(20)]

    assert {answer.status for answer in answers} == {200}


def test_a_vllm_without_the_path_that_tells_so_is_served_all_the_same(two: list[Stub]) -> None:
    with running(llm=two) as gateway:
        two[0].status = 404
        time.sleep(4)

        assert ",UP," in stats_of(gateway, two[0])


def test_a_drained_replica_gets_no_more_requests(two: list[Stub]) -> None:
    with running(chat=two) as gateway:
        server = f"model-chat/{server_name(two[0])}"
        assert gateway.tell(f"set server {server} state drain").strip() == ""
        answers = [gateway.post(URL, CHAT) for _ in range(20)]

    assert {answer.json["by"] for answer in answers} == {"127.0.0.3"}


def test_reloads_under_load_lose_no_request_and_no_stream(two: list[Stub]) -> None:
    with running(chat=two) as gateway, streaming(gateway, 4) as streams:
        with asking(gateway, keep=False) as statuses:
            for _ in range(3):
                gateway.reload()
                reached = len(statuses)
                wait_for(lambda: len(statuses) > reached + 50)  # noqa: B023 - called before it is set again
        for replica in two:
            replica.go_on.set()
        ends = [read(stream).body for stream in streams]

    assert set(statuses) == {200}
    assert set(ends) == {b"\ndata: [DONE]\n\n"}


def stats_of(gateway: Gateway, replica: Stub) -> str:
    lines = gateway.tell("show stat").splitlines()
    return next(line for line in lines if f",{server_name(replica)}," in line)


def server_name(replica: Stub) -> str:
    address, port = replica.server_address[:2]
    return f"h{str(address).replace('.', '-')}:{port}"


def test_a_client_that_gives_up_leaves_the_queue() -> None:
    with (
        stub("127.0.0.2") as only,
        running(embed=[only]) as gateway,
        streaming(gateway, ROOM, EMBED),
    ):
        impatient = gateway.connect()
        impatient.request("POST", EMBED, b"{}")
        wait_for(lambda: queued(gateway) == 1)
        impatient.close()

        wait_for(lambda: queued(gateway) == 0)


def test_a_request_that_never_arrives_whole_is_told_so(two: list[Stub]) -> None:
    with running("upload_timeout: 1", chat=two) as gateway:
        connection = gateway.connect()
        connection.putrequest("POST", URL)
        connection.putheader("Content-Length", "9")
        connection.endheaders(b"{")
        answer = read(connection.getresponse())
        connection.close()

    assert answer.error == "408 the request did not arrive in time"


def queued(gateway: Gateway) -> int:
    """Requests for `embed` that wait for a replica with room."""
    names, values = (line.split(",") for line in gateway.tell("show stat model-embed 2 -1").splitlines()[:2])
    return int(values[names.index("qcur")])
