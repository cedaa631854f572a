"""Becoming root: passwords, lectures and talkative shells."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.core.secret import SecretRef
from tests.engine.login import refused, said
from tests.engine.sshd import Sshd, serving
from tests.ops.programs import program

SUDO = """
echo 'Welcome to gpu1!'; echo 'We trust you have received the usual lecture.' >&2
while [ "$1" != -- ]; do [ "$1" != -p ] || prompt=$2; shift; done; shift
printf %s "$prompt" >&2
read -r password
[ "$password" = right ] && exec "$@"
printf 'Sorry, try again.\\n%s' "$prompt" >&2
read -r password
"""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("sudo")
    program(folder / "bin", "sudo", SUDO)
    with serving(folder / "sshd", SetEnv=f"PATH={folder}/bin:/usr/bin:/bin") as server:
        yield server


def asked(password: Path) -> dict[str, object]:
    return {"sudo": True, "sudo_password": SecretRef("file", str(password))}


@pytest.mark.parametrize("text", ["right", "right\n", "right\r\n"])
def test_the_password_is_given_when_sudo_asks_whatever_else_is_said(
    sshd: Sshd, tmp_path: Path, text: str
) -> None:
    (tmp_path / "password").write_text(text, newline="")

    assert said(sshd.connection(**asked(tmp_path / "password"))) == "hello\n"


def test_a_wrong_password_is_said_to_be_wrong(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong")

    assert refused(sshd.connection(**asked(tmp_path / "password"))).what == "sudo did not accept the password"


def test_no_line_of_a_password_ever_becomes_a_command(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"right\ntouch {tmp_path}/ran\n")

    finding = refused(sshd.connection(**asked(tmp_path / "password")))

    assert finding.what == "the password for sudo has more than one line"
    assert not (tmp_path / "ran").exists()


def test_a_sudo_that_needs_a_terminal_is_quoted(tmp_path: Path) -> None:
    program(tmp_path / "bin", "sudo", "echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1")
    with serving(tmp_path / "sshd", SetEnv=f"PATH={tmp_path}/bin:/usr/bin:/bin") as server:
        finding = refused(server.connection(sudo=True))

    assert finding.what == "no root shell: sudo: sorry, you must have a tty to run sudo"
