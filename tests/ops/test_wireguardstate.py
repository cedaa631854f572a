"""What a host's WireGuard tells, and what it keeps to itself."""

import subprocess
from pathlib import Path

import pytest

from stackctl.ops.wireguardstate import Implementation, Interface, OwnKeys
from tests.engine.fleet import one_host
from tests.ops.programs import program

CALL = "from stackctl.ops import wireguard\nwireguard.implementation(name='have one')"


def said(folder: Path, script: str) -> list[str]:
    """What it prints with none but the programs of the folder."""
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": str(folder)}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(Path("/sys/module/wireguard").exists(), reason="this kernel has WireGuard loaded")
@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        ({}, ()),
        ({"modprobe": "exit 1"}, ()),
        ({"modprobe": "exit 0"}, ("kernel",)),
        ({"modprobe": "exit 1", "wireguard-go": ""}, ("program",)),
    ],
)
def test_a_module_counts_before_it_is_loaded(
    tmp_path: Path, programs: dict[str, str], expected: tuple[str, ...]
) -> None:
    for name, script in programs.items():
        program(tmp_path, name, script)

    assert Implementation().process(said(tmp_path, Implementation().command())) == expected


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ("kernel", []),
        ("program", []),
        ("", ["install wireguard-go: the kernel has no WireGuard"]),
    ],
)
def test_the_program_is_installed_where_the_kernel_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, expected: list[str]
) -> None:
    monkeypatch.setattr(Implementation, "command", lambda _: f"echo {there}" if there else "true")

    [plan] = one_host(tmp_path, CALL).plan().hosts

    assert [change.reason for change in plan.changes] == expected


def test_private_keys_stay_unread(tmp_path: Path) -> None:
    (tmp_path / "stackctl-2.key").write_text("PRIVATE\n")
    (tmp_path / "stackctl-2.pub").write_text("PUBLIC\n")
    (tmp_path / "stackctl.key").symlink_to("stackctl-2.key")

    done = subprocess.run(
        ["sh", "-c", OwnKeys().command(str(tmp_path))], capture_output=True, text=True, check=True
    )

    assert done.stdout == "key 2 PUBLIC\nuse stackctl-2.key\n"
    found = OwnKeys().process(done.stdout.splitlines())
    assert (found.public, found.used) == ({2: "PUBLIC"}, "stackctl-2.key")


def test_a_file_with_secrets_is_told_without_them(tmp_path: Path) -> None:
    file = tmp_path / "wg0.conf"
    file.write_text("[Interface]\nPrivateKey = PRIVATE\n[Peer]\nPresharedKey = SHARED\n")

    script = Interface().command("t-none", str(file))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)

    found = Interface().process(done.stdout.splitlines())
    assert found.file is not None
    assert found.file.content == ("[Interface]\nPrivateKey = (hidden)\n[Peer]\nPresharedKey = (hidden)\n")
    assert "SHARED" not in done.stdout
    assert not found.active
