"""A new key for the operator, whatever stops the rotation on its way."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pyrage
import pytest
from pyrage.x25519 import Identity

from stackctl.core.finding import FindingsError
from stackctl.ops import age

ROOT = Path(__file__).parents[2]
# Counts whatever makes a change last or visible, and dies just before the one that is asked for.
KILLED = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[2])
def counted(act):
    def last(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*given, **named)
    return last
os.open = counted(os.open)
os.fsync = counted(os.fsync)
Path.replace = counted(Path.replace)
Path.hardlink_to = counted(Path.hardlink_to)
Path.unlink = counted(Path.unlink)
from stackctl.ops import age
what, _, file, *more = sys.argv[1:]
getattr(age, what)(Path(file), *more)
"""


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's identity."""
    path = tmp_path / "home/age.key"
    monkeypatch.setenv("STACKCTL_AGE_IDENTITY", str(path))
    return path


@pytest.fixture
def file(tmp_path: Path, key: Path) -> Path:  # noqa: ARG001 - the key is made on the way
    """A project's secrets."""
    (tmp_path / "inventory").mkdir()
    path = tmp_path / "inventory/secrets.age"
    age.put(path, "hf", "hunter2")
    return path


def keys(path: Path) -> list[Identity]:
    return [Identity.from_str(row) for row in path.read_text().splitlines() if row.startswith("AGE-")]


def public(path: Path) -> list[str]:
    return [str(each.to_public()) for each in keys(path)]


def test_the_new_key_opens_the_file_and_the_one_before_does_not(file: Path, key: Path) -> None:
    [before] = keys(key)

    done = age.rotate(file)

    assert public(key) == [done.key] != [str(before.to_public())]
    assert age.read(file).values == {"hf": "hunter2"}
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(file.read_bytes(), [before])


def test_the_identity_before_is_kept_beside_for_its_owner_alone(file: Path, key: Path) -> None:
    text = key.read_text()
    first, second = age.rotate(file), age.rotate(file)

    assert [first.earlier.name, second.earlier.name] == ["age.key.1", "age.key.2"]
    assert first.earlier.read_text() == text
    assert {f"{path.stat().st_mode & 0o777:o}" for path in key.parent.iterdir()} == {"600"}


def test_the_other_readers_and_their_comments_stay(file: Path, key: Path) -> None:
    listed = file.with_name("secrets.recipients")
    [own] = public(key)
    colleague = Identity.generate()
    listed.write_text(f"# me\n{own}\n# a colleague\n{colleague.to_public()}\n")

    done = age.rotate(file)

    assert listed.read_text() == f"# me\n{done.key}\n# a colleague\n{colleague.to_public()}\n"
    assert done.readers == 2
    assert b"hunter2" in pyrage.decrypt(file.read_bytes(), [colleague])


def test_a_key_of_another_project_stays_in_the_identity_file(file: Path, key: Path) -> None:
    other = Identity.generate()
    key.write_text(f"{key.read_text()}{other}\n")

    done = age.rotate(file)

    assert public(key) == [done.key, str(other.to_public())]


def test_an_identity_beside_the_secrets_is_rotated_as_well(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = key.rename(file.with_name("age.key"))
    monkeypatch.setenv("STACKCTL_AGE_IDENTITY", str(moved))

    assert age.rotate(file).key in file.with_name("secrets.recipients").read_text()


def test_an_identity_behind_a_link_is_rotated_where_it_is(file: Path, key: Path, tmp_path: Path) -> None:
    stick = key.rename(tmp_path / "stick.key")
    key.symlink_to(stick)

    done = age.rotate(file)

    assert key.is_symlink()
    assert public(stick) == [done.key]


def test_a_file_that_does_not_read_back_costs_no_key(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = public(key)
    seal: Callable[..., bytes] = pyrage.encrypt
    monkeypatch.setattr(pyrage, "encrypt", lambda _, *rest, **more: seal(b"{}", *rest, **more))

    with pytest.raises(FindingsError, match="does not hold what was written"):
        age.rotate(file)

    assert public(key)[1:] == before


def test_killed_anywhere_the_secrets_are_readable_and_the_rotation_can_be_run_again(
    file: Path, key: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    for folder in (file.parent, key.parent):
        shutil.copytree(folder, before / folder.name)
    readable: list[int] = []

    while killed_at(len(readable) + 1, "rotate", file):
        readable.append(len(public(key)))
        assert age.read(file).values == {"hf": "hunter2"}
        assert {path.stat().st_mode & 0o077 for path in key.parent.iterdir()} == {0}
        age.put(file, "hf", "hunter3")
        age.rotate(file)
        assert age.read(file).values == {"hf": "hunter3"}
        for folder in (file.parent, key.parent):
            shutil.rmtree(folder)
            shutil.copytree(before / folder.name, folder)

    assert [count for count, _ in groupby(readable)] == [1, 2, 1]  # keys in the identity file
    assert readable.count(2) > 10


def test_killed_anywhere_a_first_secret_can_be_set_again(file: Path, key: Path) -> None:
    steps = 0
    clear(file, key)

    while killed_at(steps + 1, "put", file, "hf", "hunter2"):
        steps += 1
        had = public(key) if key.exists() else None
        age.put(file, "hf", "hunter3")
        assert age.read(file).values == {"hf": "hunter3"}
        assert had in (None, public(key))
        clear(file, key)

    assert steps > 10
    assert age.read(file).values == {"hf": "hunter2"}


def clear(file: Path, key: Path) -> None:
    """Have no secrets, no recipients and no key."""
    shutil.rmtree(key.parent)
    shutil.rmtree(file.parent)
    file.parent.mkdir()


def killed_at(step: int, what: str, *words: Path | str) -> bool:
    """Do it in a process that dies at the step; False when it has fewer."""
    command = [sys.executable, "-c", KILLED, what, str(step), *map(str, words)]
    ended = subprocess.run(command, cwd=ROOT, check=False)
    assert ended.returncode in {0, -signal.SIGKILL}
    return ended.returncode != 0
