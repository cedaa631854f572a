"""Logging in over real SSH: who is trusted, and what is said when it does not work."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import paramiko
import pytest

from stackctl.core.finding import Finding
from stackctl.engine import ssh
from stackctl.engine.batch import Command, framed
from stackctl.engine.channel import LostError, exchange
from stackctl.engine.hostkeys import UnknownKeyError, trust
from stackctl.engine.session import SshSession
from tests.engine.login import refused, said
from tests.engine.sshd import Sshd, free_port, serving


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_settings_of_the_tester(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def test_a_known_host_is_talked_to(sshd: Sshd) -> None:
    assert said(sshd.connection()) == "hello\n"


def test_an_unknown_host_is_not_talked_to_until_its_key_is_trusted(sshd: Sshd, tmp_path: Path) -> None:
    connection = sshd.connection(known_hosts=(str(tmp_path / "inventory/known_hosts"),))

    with pytest.raises(UnknownKeyError) as error:
        said(connection)
    trust([error.value.new])

    assert said(connection) == "hello\n"
    assert (tmp_path / "inventory/known_hosts").read_text() == sshd.known_hosts_line


def test_a_changed_host_key_is_refused_with_the_line_to_replace(sshd: Sshd, tmp_path: Path) -> None:
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIP7Q4UQUuZNCYpT2rKRrmuEeWeWGzBPRQVeZEPtWFP9r"
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} ssh-ed25519 {other}\n")

    finding = refused(sshd.connection(known_hosts=(str(known),)))

    assert "is not the one on record" in finding.what
    assert finding.hint is not None
    assert str(known) in finding.hint


def test_a_pinned_key_is_trusted_and_no_other(sshd: Sshd, tmp_path: Path) -> None:
    pin = " ".join(sshd.known_hosts_line.split()[1:])
    wrong = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP7Q4UQUuZNCYpT2rKRrmuEeWeWGzBPRQVeZEPtWFP9r"

    assert said(sshd.connection(known_hosts=(str(tmp_path / "none"),), host_keys=(pin,))) == "hello\n"
    assert "`host_keys`" in str(refused(sshd.connection(host_keys=(wrong,))).hint)


def test_a_host_behind_a_jump_host_is_reached_through_it(sshd: Sshd) -> None:
    connection = sshd.connection()
    hop = f"{connection.user}@127.0.0.1:{sshd.port}"

    assert said(sshd.connection(jump=(hop,))) == "hello\n"


RELAY = """
import socket, sys, threading
far = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def upwards():
    while data := sys.stdin.buffer.raw.read(65536):
        far.sendall(data)
threading.Thread(target=upwards, daemon=True).start()
while data := far.recv(65536):
    sys.stdout.buffer.raw.write(data)
"""


def test_a_private_key_that_may_not_be_read_is_named(sshd: Sshd, tmp_path: Path) -> None:
    finding = refused(sshd.connection(identity=str(tmp_path)))

    assert finding.what == f"{tmp_path} cannot be read: is a directory"


def test_a_key_the_host_does_not_accept_is_named_as_the_cause(sshd: Sshd, tmp_path: Path) -> None:
    with serving(tmp_path / "other") as other:
        finding = refused(sshd.connection(identity=str(other.folder / "user")))

    assert finding.what.startswith(f"127.0.0.1 port {sshd.port} accepts none of your keys")


def test_a_name_that_nobody_knows_is_told_without_numbers(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(ssh, "dial", Mock(side_effect=unknown))

    said = refused(sshd.connection(address="gpu1.lan")).what

    assert said == f"gpu1.lan port {sshd.port} cannot be reached: name or service not known"


def test_a_name_that_no_resolver_could_be_asked_for_is_an_unreachable_host(sshd: Sshd) -> None:
    name = "a" * 64

    assert refused(sshd.connection(address=name)).what.startswith(
        f"{name} port {sshd.port} cannot be reached: "
    )


def test_a_closed_port_is_an_unreachable_host(sshd: Sshd) -> None:
    port = free_port()

    assert refused(sshd.connection(port=port)) == Finding(
        "gpu1",
        f"127.0.0.1 port {port} cannot be reached: connection refused",
        "check that the host is up and the address right; the other hosts go on",
    )


def test_a_server_that_never_speaks_does_not_hang_the_run(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = time.monotonic()
        finding = refused(sshd.connection(port=silent.getsockname()[1], timeout=1))

    assert time.monotonic() - before < 10
    assert "port" in finding.what


def test_a_missing_private_key_is_named(sshd: Sshd) -> None:
    finding = refused(sshd.connection(identity="/nonexistent/key"))

    assert finding.what == "the private key /nonexistent/key does not exist"


def test_a_connection_that_breaks_in_the_middle_is_noticed_at_once(sshd: Sshd) -> None:
    session = SshSession(sshd.connection())
    session.open()
    before = time.monotonic()

    # The shell ends its own server side of the connection, as a dying host would.
    with pytest.raises(LostError):
        session.run([Command("kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $PPID)); sleep 30", 60)])

    assert time.monotonic() - before < 20
    session.close()


def test_a_connection_that_breaks_while_sending_is_called_lost(sshd: Sshd) -> None:
    session = SshSession(sshd.connection())
    session.open()
    transport = session._clients[-1].get_transport()
    assert transport is not None
    assert isinstance(transport.sock, socket.socket)
    transport.sock.shutdown(socket.SHUT_WR)  # paramiko has heard of nothing yet when it comes to send

    with pytest.raises(LostError, match="the connection broke"):
        session.run([Command("true", 10)])

    session.close()


def test_a_host_that_falls_silent_is_not_waited_for_without_end(sshd: Sshd) -> None:
    session = SshSession(sshd.connection())
    session.open()
    channel = session._channel
    assert channel is not None
    before = time.monotonic()

    with pytest.raises(LostError, match="no answer within 1 s"):
        exchange(channel, framed([Command("echo a; sleep 60", 100)], "m"), "m", 1, 1)

    assert time.monotonic() - before < 5
    session.close()


class Mute(paramiko.ServerInterface):
    """Lets everybody in and never answers the request for a shell."""

    def get_allowed_auths(self, *_: object) -> str:
        return "publickey"

    def check_auth_publickey(self, *_: object) -> int:
        return 0

    def check_channel_request(self, *_: object) -> int:
        return 0

    def check_channel_exec_request(self, *_: object) -> bool:
        time.sleep(5)
        return False


def test_a_server_that_never_starts_the_shell_does_not_hang_the_run(sshd: Sshd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        known = tmp_path / "known_hosts"
        known.write_text(sshd.known_hosts_line.replace(str(sshd.port), str(port)))

        def serve() -> None:
            transport = paramiko.Transport(listening.accept()[0])
            transport.add_server_key(paramiko.Ed25519Key(filename=str(sshd.folder / "host")))
            transport.start_server(server=Mute())

        threading.Thread(target=serve, daemon=True).start()
        finding = refused(sshd.connection(port=port, known_hosts=(str(known),), timeout=2))

    assert finding.what == "no shell: no answer within 2 s"


def test_small_exchanges_are_not_held_back_by_nagle(sshd: Sshd) -> None:
    clients = ssh.connect(sshd.connection())
    transport = clients[0].get_transport()

    assert transport is not None
    assert isinstance(transport.sock, socket.socket)
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    clients[0].close()


def test_a_key_in_the_operators_agent_is_used(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    try:
        for _ in range(100):
            if (tmp_path / "agent").exists():
                break
            time.sleep(0.05)
        subprocess.run(["ssh-add", "-q", str(sshd.folder / "user")], check=True)

        assert said(sshd.connection(identity=None)) == "hello\n"
    finally:
        agent.terminate()
        agent.wait(timeout=10)
