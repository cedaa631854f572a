"""The operator's own `~/.ssh/config` leads to a host as it leads `ssh` there."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.core.connection import Connection
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


def test_the_operators_ssh_config_is_followed(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(
        f"Host gpu1.example\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.connection().user}\n"
        f"  IdentityFile {sshd.folder}/user\n"
    )

    assert said(sshd.connection(address="gpu1.example", port=None, user=None, identity=None)) == "hello\n"


def configured(tmp_path: Path, text: str, file: str = ".ssh/config") -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)


def test_files_that_the_ssh_config_includes_are_followed(sshd: Sshd, tmp_path: Path) -> None:
    configured(tmp_path, "Include conf.d/*.conf\nHost *\n  User nobody\n")
    host = f"Host gpu1.example\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User root\n"
    configured(tmp_path, host, ".ssh/conf.d/gpus.conf")

    assert said(sshd.connection(address="gpu1.example", port=None, user=None)) == "hello\n"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("nonsense\n", "Unparsable line nonsense"),
        ("Host *\n  Port ssh\n", "`ssh` is not a port"),
    ],
)
def test_an_ssh_config_that_cannot_be_followed_is_named(
    sshd: Sshd, tmp_path: Path, config: str, why: str
) -> None:
    configured(tmp_path, config)

    assert refused(sshd.connection()).what == f"{tmp_path}/.ssh/config cannot be read: {why}"


RELAY = """
import os, socket, sys, threading
open(__file__ + ".pid", "w").write(str(os.getpid()))
far = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def upwards():
    while data := os.read(0, 65536):
        far.sendall(data)
threading.Thread(target=upwards, daemon=True).start()
while data := far.recv(65536):
    os.write(1, data)
"""


def test_a_proxy_command_is_run_as_the_shell_would(sshd: Sshd, tmp_path: Path) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(RELAY)
    configured(
        tmp_path,
        f"Host *\n  ProxyCommand {sys.executable} {relay} %h %p 2>/dev/null\n  Port {sshd.port}\n",
    )

    assert said(sshd.connection(port=None)) == "hello\n"
    assert ends(int((tmp_path / "relay.py.pid").read_text()))


def ends(process: int) -> bool:
    """Whether a process is gone within a few seconds."""
    for _ in range(100):
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("command", ["false", "no-such-program %h"])
def test_a_proxy_command_that_dies_is_noticed_at_once(sshd: Sshd, tmp_path: Path, command: str) -> None:
    configured(tmp_path, f"Host *\n  ProxyCommand {command}\n")
    before = time.monotonic()
    finding = refused(sshd.connection())

    assert time.monotonic() - before < 3
    assert finding.what.startswith(f"127.0.0.1 port {sshd.port} cannot be reached")


@pytest.mark.parametrize("hop", ["{user}@[127.0.0.1]:{port}", "ssh://{user}@127.0.0.1:{port}"])
def test_a_jump_host_may_be_written_in_every_form_of_ssh(sshd: Sshd, tmp_path: Path, hop: str) -> None:
    connection = sshd.connection()
    written = hop.format(user=connection.user, port=sshd.port)
    configured(tmp_path, f"Match originalhost gpu1.example\n  HostName 127.0.0.1\n  ProxyJump {written}\n")

    assert said(sshd.connection(address="gpu1.example")) == "hello\n"


def test_an_address_of_version_six_is_a_jump_host() -> None:
    for hop, port in (("root@[::1]:{}", free_port()), ("[::1]:{}", free_port())):
        finding = refused(Connection("gpu1", "192.0.2.1", jump=(hop.format(port),), timeout=2))

        assert finding.what.startswith(f"::1 port {port} cannot be reached")


def test_a_jump_host_that_is_none_is_named() -> None:
    assert (
        refused(Connection("gpu1", "192.0.2.1", jump=("a@b@c",))).what
        == "`a@b@c` is not a host to jump through"
    )


def test_a_match_by_a_command_is_followed(tmp_path: Path) -> None:
    (tmp_path / "config").write_text('Match exec "exit 1"\n  Port 1\nMatch exec "exit 0"\n  Port 2\n')
    program = (
        "import sys, pathlib\n"
        "from stackctl.core.connection import Connection\n"
        "from stackctl.engine.sshconfig import settings_of\n"
        f"print(settings_of(Connection('gpu1', '192.0.2.1'), pathlib.Path('{tmp_path}/config'))['port'])"
    )

    # In a process of its own: what runs the commands reads standard input, which pytest has closed.
    ended = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert (ended.stdout, ended.stderr) == ("2\n", "")
