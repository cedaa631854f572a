"""A host's own program tells a real HAProxy which replicas are drained."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackctl.core import drain
from tests.gateway.haproxy import Gateway, read, running, wait_for
from tests.gateway.stub import Stub, stub
from tests.gateway.test_replicas import CHAT, URL, asking, server_name, stats_of, streaming

PROGRAM = Path(__file__).parents[2] / "stackctl/agents/drain.pl"
FOR_EVER = "999999999\n"


@contextmanager
def telling(address: str, folder: Path) -> Iterator[None]:
    """The program at one of the replicas' addresses, as a host runs it."""
    command = ["perl", str(PROGRAM), address, str(drain.PORT), str(folder)]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def two() -> Iterator[list[Stub]]:
    with stub("127.0.0.2") as one, stub("127.0.0.3") as other:
        yield [one, other]


def drained(folder: Path, replica: Stub) -> Path:
    """The file that drains a replica; its container has the port in its name, as the placement has."""
    return folder / f"chat-{replica.server_address[1]}"


def share(gateway: Gateway, replica: Stub) -> str:
    """The weight that HAProxy gives a replica."""
    return gateway.tell(f"get weight model-chat/{server_name(replica)}").split()[0]


def test_a_drained_replica_finishes_its_streams_and_gets_nothing_new_until_the_drain_ends(
    two: list[Stub], tmp_path: Path
) -> None:
    file = drained(tmp_path, two[0])
    with telling("127.0.0.2", tmp_path), running(chat=two) as gateway, streaming(gateway, 4) as streams:
        file.write_text(FOR_EVER)
        wait_for(lambda: share(gateway, two[0]) == "0")
        answers = [gateway.post(URL, CHAT).json["by"] for _ in range(20)]
        for replica in two:
            replica.go_on.set()
        ends = {read(stream).body for stream in streams}
        file.unlink()
        wait_for(lambda: share(gateway, two[0]) == "1")
        wait_for(lambda: gateway.post(URL, CHAT).json["by"] == "127.0.0.2")

    assert set(answers) == {"127.0.0.3"}
    assert ends == {b"\ndata: [DONE]\n\n"}


def test_a_drain_ends_by_itself_when_its_time_is_over(two: list[Stub], tmp_path: Path) -> None:
    uptime = int(float(Path("/proc/uptime").read_text().split()[0]))
    with telling("127.0.0.2", tmp_path), running(chat=two) as gateway:
        drained(tmp_path, two[0]).write_text(FOR_EVER)
        wait_for(lambda: share(gateway, two[0]) == "0")
        drained(tmp_path, two[0]).write_text(f"{uptime - 1}\n")

        wait_for(lambda: share(gateway, two[0]) == "1")


def test_what_a_person_drains_by_hand_stays_drained(two: list[Stub], tmp_path: Path) -> None:
    with telling("127.0.0.2", tmp_path), running(chat=two) as gateway:
        gateway.tell(f"set server model-chat/{server_name(two[0])} state drain")
        time.sleep(3 * drain.ASKED_MS / 1000)

        assert ",DRAIN" in stats_of(gateway, two[0])


def test_a_host_that_tells_nothing_is_served_as_if_it_drained_nothing(
    two: list[Stub], tmp_path: Path
) -> None:
    drained(tmp_path, two[0]).write_text(FOR_EVER)
    with running(chat=two) as gateway:
        wait_for(lambda: "L4CON" in stats_of(gateway, two[0]))

        assert ",UP," in stats_of(gateway, two[0])
        assert share(gateway, two[0]) == "1"


def test_a_drain_that_begins_and_ends_under_load_loses_no_request(two: list[Stub], tmp_path: Path) -> None:
    file = drained(tmp_path, two[0])
    with telling("127.0.0.2", tmp_path), running(chat=two) as gateway, asking(gateway, keep=True) as statuses:
        for _ in range(3):
            file.write_text(FOR_EVER)
            wait_for(lambda: share(gateway, two[0]) == "0")
            file.unlink()
            wait_for(lambda: share(gateway, two[0]) == "1")

    assert set(statuses) == {200}


@pytest.mark.parametrize("asked", ["../chat\n", "chat", "\n", "", ".chat\n"])
def test_what_is_no_name_of_a_replica_is_not_answered(asked: str, tmp_path: Path) -> None:
    (tmp_path / "chat").write_text(FOR_EVER)
    (tmp_path / "below").mkdir()
    with telling("127.0.0.4", tmp_path / "below"):
        assert answer(asked) == ""
        assert answer("chat\n") == "100%\n"


def test_one_that_says_nothing_holds_nobody_up(tmp_path: Path) -> None:
    with telling("127.0.0.4", tmp_path), ThreadPoolExecutor(1) as pool:
        answer("chat\n")
        silent = pool.submit(answer, "")

        assert answer("chat\n") == "100%\n"
        assert silent.result() == ""


def answer(asked: str) -> str:
    """What the program says to a line."""
    script = f"import socket; s = socket.create_connection(('127.0.0.4', {drain.PORT})); "
    script += f"s.sendall({asked.encode()!r}); print(s.recv(99).decode(), end='')"
    found: list[str] = []

    def succeeded() -> bool:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        found.append(done.stdout)
        return done.returncode == 0

    wait_for(succeeded)
    return found[-1]


def test_gateways_ask_as_often_as_an_update_counts_on() -> None:
    config = (Path(__file__).parents[2] / "templates/gateway/haproxy.cfg.j2").read_text()
    library = (Path(__file__).parents[2] / "stackctl/ops/replica.sh").read_text()

    assert f"agent-inter {drain.ASKED_MS}ms" in config
    notice = re.search(r"^notice=(\d+)$", library, re.MULTILINE)
    assert notice is not None
    assert int(notice[1]) * 1000 >= 3 * drain.ASKED_MS
