"""Keys as they are born on a host: the arithmetic, and that none is ever lost."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from stackctl.agents import wireguard_key
from stackctl.agents.wireguard_key import BASE, make, public_of, x25519

VECTORS = [  # RFC 7748, sections 5.2 and 6.1
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
]


@pytest.mark.parametrize(("scalar", "point", "expected"), VECTORS)
def test_it_computes_what_the_standard_does(scalar: str, point: str, expected: str) -> None:
    assert x25519(bytes.fromhex(scalar), bytes.fromhex(point)).hex() == expected


def test_a_thousand_rounds_end_where_the_standard_says() -> None:
    scalar, point = BASE, BASE
    for _ in range(1000):
        scalar, point = x25519(scalar, point), scalar

    assert scalar.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


@pytest.mark.skipif(shutil.which("wg") is None, reason="needs wireguard-tools")
def test_it_agrees_with_wireguards_own_tool() -> None:
    for _ in range(20):
        key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout
        told = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout

        assert public_of(key) == told.strip()


def test_a_new_key_waits_under_another_name_readable_by_root_alone(tmp_path: Path) -> None:
    make(tmp_path / "wireguard", 1)

    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "wireguard").iterdir()}
    assert found == {".stackctl-1.key.new": 0o600, ".stackctl-1.pub.new": 0o600}
    key = (tmp_path / "wireguard/.stackctl-1.key.new").read_text()
    assert (tmp_path / "wireguard/.stackctl-1.pub.new").read_text() == f"{public_of(key)}\n"


def test_two_hosts_make_two_keys(tmp_path: Path) -> None:
    for host in "ab":
        make(tmp_path / host, 1)

    assert len({(tmp_path / host / ".stackctl-1.pub.new").read_text() for host in "ab"}) == 2


@pytest.mark.parametrize("name", ["stackctl-1.key", ".stackctl-1.key.new"])
def test_a_key_that_is_there_stays_and_gets_its_public_key_back(tmp_path: Path, name: str) -> None:
    key = "4GgaQCy68tzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
    (tmp_path / name).write_text(f"{key}\n")

    make(tmp_path, 1)

    public = name.replace(".key", ".pub")
    assert {path.name for path in tmp_path.iterdir()} == {name, public}
    assert (tmp_path / name).read_text() == f"{key}\n"
    assert (tmp_path / public).read_text() == f"{public_of(key)}\n"


def test_a_public_key_that_somebody_changed_is_the_keys_own_again(tmp_path: Path) -> None:
    make(tmp_path, 1)
    before = (tmp_path / ".stackctl-1.pub.new").read_text()
    (tmp_path / ".stackctl-1.pub.new").write_text("another\n")

    make(tmp_path, 1)

    assert (tmp_path / ".stackctl-1.pub.new").read_text() == before


def test_it_runs_from_standard_input_with_the_standard_library_alone(tmp_path: Path) -> None:
    text = Path(wireguard_key.__file__).read_text()

    subprocess.run(
        ["python3", "-I", "-", tmp_path / "new", "3"],
        input=text,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )

    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        ".stackctl-3.key.new",
        ".stackctl-3.pub.new",
    }
