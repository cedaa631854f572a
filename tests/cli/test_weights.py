"""`stackctl weights` against a real sshd."""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities.test_weights import CATALOGUE, COMMIT, LOCK
from tests.cli.program import stackctl
from tests.engine.sshd import Sshd, serving
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]
OLD = "d" * 40


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def root(tmp_path: Path, sshd: Sshd) -> Path:
    """A project whose one carrier of models is this machine, with weights that are used and others."""
    ssh = f"{{user: {getpass.getuser()}, identity: {sshd.folder}/user, port: {sshd.port}}}"
    environment = (
        "hosts:\n"
        f"  edge: {{address: 127.0.0.2, roles: [gateway], ssh: {ssh}}}\n"
        f"  gpu1: {{address: 127.0.0.1, roles: [models], weights: {tmp_path}/weights, ssh: {ssh}}}\n"
        "placements: {chat: [{host: gpu1, devices: [cpu]}]}\n"
    )
    found = project(tmp_path, environment, CATALOGUE).root
    lines = [sshd.known_hosts_line, sshd.known_hosts_line.replace("127.0.0.1", "127.0.0.2")]
    (found / "inventory/known_hosts").write_text("".join(lines))
    (found / "inventory/weights.lock").write_text(LOCK)
    for place, size in ((f"a/b/{COMMIT}", 42), (f"old/model/{OLD}", 12_345)):
        (tmp_path / "weights/hub" / place).mkdir(parents=True)
        (tmp_path / "weights/hub" / place / "model").write_bytes(b"x" * size)
    return found


def test_weights_are_listed_with_who_needs_them(capsys: Capsys, root: Path) -> None:
    done = stackctl(capsys, "weights", "list", "test", cwd=root)

    head, *rest = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert head.startswith(f"gpu1  {root}/weights/hub, ")
    assert rest == [
        f"  a/b@{'c' * 12}           42 B  chat",
        f"  old/model@{'d' * 12}  12.3 KB  unused",
        "2 directories, 12.4 KB; 1 unused, 12.3 KB.",
    ]


def test_a_machine_gets_all_of_it_in_one_value(capsys: Capsys, root: Path) -> None:
    done = stackctl(capsys, "weights", "list", "test", "--json", cwd=root)

    told = json.loads(done.out)
    assert [(item["path"], item["used"]) for item in told["hosts"][0]["kept"]] == [
        (f"a/b/{COMMIT}", True),
        (f"old/model/{OLD}", False),
    ]


def test_nothing_is_removed_where_nobody_can_say_yes(capsys: Capsys, root: Path) -> None:
    done = stackctl(capsys, "weights", "prune", "test", cwd=root)

    assert done.code == 2
    assert "weights prune  nobody is there to confirm the removal\n" in done.err
    assert (root / "weights/hub/old/model" / OLD).is_dir()


def test_what_nobody_needs_is_removed_and_the_next_time_there_is_nothing(capsys: Capsys, root: Path) -> None:
    first = stackctl(capsys, "weights", "prune", "test", "--yes", cwd=root)
    second = stackctl(capsys, "weights", "prune", "test", cwd=root)

    assert first.err == ""
    assert first.code == 0
    assert first.out.splitlines()[1:] == [
        f"  old/model@{'d' * 12}  12.3 KB  unused",
        "To remove: 1 directory, 12.3 KB.",
        "Removed 1 directory, 12.3 KB.",
    ]
    assert (second.code, second.out) == (0, "All weights are used.\n")
    assert [path.name for path in (root / "weights/hub").iterdir() if path.name != ".partial"] == ["a"]
