"""Keys as they are born on a host: the arithmetic, and that none is ever lost."""

import base64
import stat
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.agents.wireguard import make, public_of

KEY = "4GgaQCy68tzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
SAMPLES = [bytes(32), b"\xff" * 32, bytes(range(32)), *(sha256(bytes([n])).digest() for n in range(12))]


@pytest.mark.parametrize("key", SAMPLES, ids=bytes.hex)
def test_it_computes_what_a_library_does(key: bytes, tmp_path: Path) -> None:
    text = base64.b64encode(key).decode()
    (tmp_path / "stackctl-1.key").write_text(f"{text}\n")

    make(tmp_path)

    assert (tmp_path / "stackctl-1.pub").read_text() == f"{public_of(text)}\n"


def test_a_new_key_waits_under_another_name_readable_by_root_alone(tmp_path: Path) -> None:
    make(tmp_path / "wireguard")

    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "wireguard").iterdir()}
    assert found == {".stackctl-1.key.new": 0o600, ".stackctl-1.pub.new": 0o600}
    assert stat.S_IMODE((tmp_path / "wireguard").stat().st_mode) == 0o700


def test_a_new_key_is_of_the_form_that_wireguard_makes(tmp_path: Path) -> None:
    make(tmp_path)

    key = base64.b64decode((tmp_path / ".stackctl-1.key.new").read_text().strip(), validate=True)
    assert len(key) == 32
    assert (key[0] & 7, key[31] & 0xC0) == (0, 0x40)


def test_two_hosts_make_two_keys(tmp_path: Path) -> None:
    for host in "ab":
        make(tmp_path / host)

    assert len({(tmp_path / host / ".stackctl-1.pub.new").read_text() for host in "ab"}) == 2


@pytest.mark.parametrize("name", ["stackctl-1.key", ".stackctl-1.key.new"])
def test_a_key_that_is_there_stays_and_gets_its_public_key_back(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"{KEY}\n")

    make(tmp_path)

    public = name.replace(".key", ".pub")
    assert {path.name for path in tmp_path.iterdir()} == {name, public}
    assert (tmp_path / name).read_text() == f"{KEY}\n"
    assert (tmp_path / public).read_text() == f"{public_of(KEY)}\n"


def test_a_public_key_that_somebody_changed_is_the_keys_own_again(tmp_path: Path) -> None:
    make(tmp_path)
    before = (tmp_path / ".stackctl-1.pub.new").read_text()
    (tmp_path / ".stackctl-1.pub.new").write_text("another\n")

    make(tmp_path)

    assert (tmp_path / ".stackctl-1.pub.new").read_text() == before


def test_an_inventory_of_old_makes_no_key_where_a_newer_one_is(tmp_path: Path) -> None:
    (tmp_path / "stackctl-2.key").write_text(f"{KEY}\n")

    make(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["stackctl-2.key"]


def test_what_is_no_key_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / "stackctl-1.key").write_text("nonsense\n")

    with pytest.raises(subprocess.CalledProcessError):
        make(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["stackctl-1.key"]
