"""Sessions that open while something else goes on."""

import socket
from collections.abc import Iterator

import pytest

from stackctl.core.finding import FindingsError
from stackctl.engine.batch import Command
from stackctl.engine.early import EarlySession
from tests.engine.sshd import Sshd, serving


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_connecting_begins_before_anybody_waits_for_it(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        session = EarlySession(sshd.connection(port=server.getsockname()[1], timeout=1))
        connected, _ = server.accept()
        with connected:
            connected.settimeout(10)
            assert connected.recv(4) == b"SSH-"
        session.close()


def test_an_opened_session_answers(sshd: Sshd) -> None:
    session = EarlySession(sshd.connection())
    session.open()

    assert session.run([Command("echo hello", 10)])[0].stdout == "hello\n"
    session.close()


def test_what_keeps_it_closed_is_told_to_the_one_who_waits(sshd: Sshd) -> None:
    session = EarlySession(sshd.connection(identity="/nonexistent/key"))

    with pytest.raises(FindingsError) as error:
        session.open()
    assert error.value.findings[0].what == "the private key /nonexistent/key does not exist"


def test_a_session_that_is_closed_while_it_opens_leaves_no_connection_behind(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        session = EarlySession(sshd.connection(port=server.getsockname()[1], timeout=1))
        server.settimeout(10)
        connected, _ = server.accept()
        session.close()
        connected.settimeout(10)

        with connected:
            said = connected.recv(4096)
            while said:
                said = connected.recv(4096)
        assert said == b""  # the end of the connection
