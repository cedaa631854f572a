"""First contact with a host: nobody is trusted without the operator's word."""

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.engine.sshd import Sshd, serving
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def folder_of(tmp_path: Path, sshd: Sshd) -> Path:
    """A project whose only host is this machine, read by its plans and never changed."""
    login = f"user: {getpass.getuser()}, port: {sshd.port}, identity: {sshd.folder}/user"
    environment = f"hosts:\n  edge: {{address: 127.0.0.1, ssh: {{{login}}}, system: {{time: external}}}}\n"
    return project(tmp_path, environment).root


def test_an_unknown_host_is_not_planned_and_its_fingerprint_is_shown(
    capsys: Capsys, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    folder = folder_of(tmp_path, sshd)

    ended = stackctl(capsys, "plan", "test", cwd=folder)

    assert ended.code == 1
    assert f"edge  the host key of [127.0.0.1]:{sshd.port} is not known: ssh-ed25519 SHA256:" in ended.err
    assert "`--accept-new-host-keys`" in ended.err
    assert not (folder / "inventory/known_hosts").exists()


def test_a_host_the_operator_accepts_is_written_down_and_planned(
    capsys: Capsys, tmp_path: Path, sshd: Sshd
) -> None:
    folder = folder_of(tmp_path, sshd)

    first = stackctl(capsys, "plan", "test", "--accept-new-host-keys", cwd=folder)
    second = stackctl(capsys, "plan", "test", cwd=folder)

    assert "host key" not in first.err + second.err
    assert (folder / "inventory/known_hosts").read_text() == sshd.known_hosts_line


@pytest.mark.parametrize(("answer", "trusted"), [("y\n", True), ("n\n", False), ("", False)])
def test_an_operator_at_a_terminal_is_asked_once(
    capsys: Capsys, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch, answer: str, trusted: bool
) -> None:
    folder = folder_of(tmp_path, sshd)
    monkeypatch.setattr("stackctl.cli.reach.sys.stdin", Terminal(answer))

    ended = stackctl(capsys, "plan", "test", cwd=folder)

    assert "These hosts show keys that nobody has vouched for yet:\n  edge  [127.0.0.1]:" in ended.err
    assert (folder / "inventory/known_hosts").exists() is trusted


class Terminal:
    """A terminal at which somebody types this and leaves."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True)

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.lines.pop(0) if self.lines else ""
