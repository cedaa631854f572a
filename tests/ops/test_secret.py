"""Where secrets come from, and how often they are asked for."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
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


def test_a_line_end_of_another_system_is_not_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"s3cret\r\n")

    assert secret.value(SecretRef("file", str(tmp_path / "token"))) == "s3cret"
