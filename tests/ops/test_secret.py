"""Where secrets come from, and how often they are asked for."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import sleep
from traceback import format_exception

import pytest

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.secret import SecretRef
from stackctl.ops import secret


def command(tmp_path: Path, script: str) -> SecretRef:
    """A reference to a program that counts how often it runs."""
    (tmp_path / "tool").write_text(f"#!/bin/sh\necho run >>{tmp_path}/runs\n{script}\n")
    (tmp_path / "tool").chmod(0o755)
    return SecretRef("command", str(tmp_path / "tool"))


def test_a_command_runs_once_however_many_hosts_ask(tmp_path: Path) -> None:
    ref = command(tmp_path, "sleep 0.2; echo s3cret")

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(secret.value, [ref] * 8))

    assert values == ["s3cret"] * 8
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_command_that_fails_is_not_tried_again_for_the_next_host(tmp_path: Path) -> None:
    ref = command(tmp_path, "echo half-a-s3cret; exit 3")

    for _ in range(2):
        with pytest.raises(FindingsError) as error:
            secret.value(ref)
        assert error.value.findings[0].what == "cannot be read: it exited 3"

    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_program_that_hangs_is_ended_with_all_it_started_and_its_output_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret, "COMMAND_SECONDS", 2)
    hanging = "trap '' TERM; echo half-a-s3cret\nsleep 600 & echo $$ $! >" + f"{tmp_path}/pids; sleep 600"
    ref = command(tmp_path, hanging)

    with pytest.raises(FindingsError) as error:
        secret.value(ref)

    assert error.value.findings[0].what == "cannot be read: it took longer than 2 s"
    assert error.value.findings[0].hint == "run it by hand to see why"
    assert "s3cret" not in "".join(format_exception(error.value))
    program, grandchild = (tmp_path / "pids").read_text().split()
    until_ended(program)
    until_ended(grandchild)


def until_ended(pid: str) -> None:
    """Require that a process is gone, soon, or a zombie that its new parent has yet to look at."""
    stat = Path(f"/proc/{pid}/stat")
    with suppress(FileNotFoundError, ProcessLookupError):
        for _ in range(1000):
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
            sleep(0.01)
        pytest.fail(f"process {pid} is still there")


def test_a_program_that_asks_gets_no_answer(tmp_path: Path) -> None:
    ref = command(tmp_path, "read answer || echo nobody-answers; cat </dev/tty || echo -and-no-terminal")

    assert secret.value(ref) == "nobody-answers\n-and-no-terminal"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("printf 's3cret\\377'", "it is not UTF-8 text"),
        (":", "it is empty"),
        ("echo s3cret >&2; exit 1", "it exited 1"),
        ("kill -9 $$", "it exited -9"),
    ],
)
def test_what_a_program_printed_is_not_repeated(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(FindingsError) as error:
        secret.value(command(tmp_path, script))

    assert error.value.findings[0].what == f"cannot be read: {why}"
    assert "s3cret" not in "".join(format_exception(error.value))


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(FindingsError) as error:
        secret.value(SecretRef("command", "no-such-program show x"))

    assert error.value.findings[0].what == "cannot be read: there is no program `no-such-program`"


def test_a_line_end_of_another_system_is_not_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"s3cret\r\n")

    assert secret.value(SecretRef("file", str(tmp_path / "token"))) == "s3cret"


PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\n-----END PRIVATE KEY-----"


def test_a_host_that_is_to_know_a_hash_gets_the_hash_alone(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-0123456789abcdef0123\n")
    ref = SecretRef("file", str(tmp_path / "key"))

    revealed = secret.reveal(Artifact("/etc/keys.map", f"{ref.hash_placeholder} ci\n", secrets=(ref,)))

    # As `printf %s sk-0123456789abcdef0123 | sha256sum` prints it.
    assert revealed == b"e636700b4adadb66cd71b1dac31d1dd2419ea53580391171645e0defc59b50c1 ci\n"


def test_the_hash_of_a_secret_that_could_be_guessed_reaches_no_host(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("nineteen-characters")
    ref = SecretRef("file", str(tmp_path / "key"))

    with pytest.raises(FindingsError) as error:
        secret.reveal(Artifact("/etc/keys.map", f"{ref.hash_placeholder} ci\n", secrets=(ref,)))

    assert error.value.findings == (
        Finding(
            f"secret file:{tmp_path}/key",
            "cannot be read: it is shorter than 20 characters, and could be guessed from its hash",
            "make one with `openssl rand -hex 24`",
        ),
    )


def test_a_file_that_is_nothing_but_secrets_takes_them_of_any_form(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{PEM}\n")
    (tmp_path / "certificate").write_text('"\\"')
    key, certificate = (SecretRef("file", str(tmp_path / name)) for name in ("key", "certificate"))
    content = f"{certificate.placeholder}\n{key.placeholder}\n"

    whole = secret.reveal(Artifact("/etc/a.pem", content, secrets=(certificate, key)))
    with pytest.raises(FindingsError) as error:
        secret.reveal(Artifact("/etc/a.pem", f"# ours\n{content}", secrets=(key,)))

    assert whole.decode() == f'"\\"\n{PEM}\n'
    assert error.value.findings[0].what == "cannot be read: it holds a quote, a backslash or a line break"


def test_each_line_of_a_secret_is_blanked_out(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PEM)
    secret.value(SecretRef("file", str(tmp_path / "key")))

    assert secret.mask("cannot parse `MIGHAgEAMBMGByqGSM49AgEGCCqGSM49`") == "cannot parse `***`"
