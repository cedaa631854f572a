"""Which keys of hosts are trusted, and how trust is written down."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
from stackctl.engine.hostkeys import NewKey, UnknownKeyError, trust
from tests.engine.login import said
from tests.engine.sshd import Sshd, serving


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_settings_of_the_tester(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP7Q4UQUuZNCYpT2rKRrmuEeWeWGzBPRQVeZEPtWFP9r"


@pytest.mark.parametrize(
    "odd",
    [
        f"@cert-authority *.example {OTHER} the authority",
        f"@revoked * {OTHER}",
        "gpu9 ssh-ed25519 AAA",
        "gpu9 ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAA=",
        "gpu9 sk-ssh-ed25519@openssh.com AAAA",
        "gpu9",
        "# caf\udce9",
    ],
)
def test_an_odd_line_among_the_known_hosts_does_not_cost_the_others(
    sshd: Sshd, tmp_path: Path, odd: str
) -> None:
    known = tmp_path / "known_hosts"
    known.write_bytes(f"{odd}\n\n{sshd.known_hosts_line}".encode(errors="surrogateescape"))

    assert said(sshd.connection(known_hosts=(str(known),))) == "hello\n"


def test_a_hashed_known_host_is_known(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts_line)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)

    assert known.read_text().startswith("|1|")
    assert said(sshd.connection(known_hosts=(str(known),))) == "hello\n"


def test_a_revoked_key_is_not_trusted_wherever_else_it_stands(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    key = sshd.known_hosts_line.split(" ", 1)[1]
    known.write_text(f"{sshd.known_hosts_line}@revoked * {key}")

    with pytest.raises(UnknownKeyError):
        said(sshd.connection(known_hosts=(str(known),)))


def test_a_trusted_key_is_written_on_a_line_of_its_own_and_once(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("gpu9 ssh-ed25519 AAAA without-newline")
    key = NewKey("gpu1", "jump", "ssh-ed25519", "BBBB", str(known))

    trust([key, replace(key, host="gpu2")])

    assert known.read_text() == "gpu9 ssh-ed25519 AAAA without-newline\njump ssh-ed25519 BBBB\n"


def test_known_hosts_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(FindingsError) as error:
        trust([NewKey("gpu1", "gpu1", "ssh-ed25519", "BBBB", str(tmp_path))])

    assert error.value.findings[0].what == "cannot be written: Is a directory"
