"""What a host keeps of weights, and how what nobody needs is removed."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.doctor.weights import HostWeights, kept_on, look, read, remove, removed
from stackctl.schema.fleet import Fleet
from tests.capabilities.test_weights import COMMIT
from tests.capabilities.test_weights import fleet as fleet_of
from tests.ops.programs import program

HOSTS = "hosts: {{edge: {{address: 10.0.0.11, roles: [gateway]}}, gpu1: {{address: 10.0.0.12, roles: [models], weights: {0}}}}}\n"
CHAT = "placements: {chat: [{host: gpu1, devices: [cpu]}]}\n"
OLD = "d" * 40


def put(root: Path, place: str, size: int) -> None:
    (root / "hub" / place).mkdir(parents=True)
    (root / "hub" / place / "model.safetensors").write_bytes(b"x" * size)


def docker(folder: Path, *mounts: str) -> None:
    """A Docker whose one container has these directories."""
    shown = "".join(f"mount\\t/chat\\t{mount}\\n" for mount in mounts)
    plain = "".join(f"{mount}\\n" for mount in mounts)
    script = f"case $* in *' -q'|'ps -q') echo c1;; *println*) printf '{plain}';; *) printf '{shown}';; esac"
    program(folder / "bin", "docker", script)
    program(folder / "bin", "systemd-run", "exit 1")


def run(folder: Path, script: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "STACKCTL_RUN": f"{folder}/run",
    }
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine's socket, instead of this machine's own."""
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(f"{tmp_path}/sock")
        monkeypatch.setattr("stackctl.doctor.weights.SOCKET", f"{tmp_path}/sock")
        yield


@pytest.fixture
def read_fleet(tmp_path: Path) -> Fleet:
    (tmp_path / "p").mkdir()
    return fleet_of(tmp_path / "p", HOSTS.format(tmp_path / "weights") + CHAT)


def looked(folder: Path, found: Fleet) -> HostWeights:
    return read(found, "gpu1", run(folder, look(found, "gpu1")).stdout)


def test_each_directory_is_told_with_its_size_and_who_needs_it(tmp_path: Path, read_fleet: Fleet) -> None:
    root = tmp_path / "weights"
    put(root, f"a/b/{COMMIT}", 42)
    put(root, f"a/b/{OLD}", 100)
    put(root, f"x/y/{OLD}", 7)
    put(root, f".partial/a/z/{OLD}/incoming", 3)
    docker(tmp_path, f"{root}/hub/x/y/{OLD}", "/etc/other")

    found = looked(tmp_path, read_fleet)

    assert [(item.path, item.size, item.whole, item.models, item.containers) for item in found.kept] == [
        (f"a/b/{COMMIT}", 42, True, ("chat",), ()),
        (f"a/b/{OLD}", 100, True, (), ()),
        (f"a/z/{OLD}", 3, False, (), ()),
        (f"x/y/{OLD}", 7, True, (), ("chat",)),
    ]
    assert [item.place for item in found.unused] == [f"a/b/{OLD}", f".partial/a/z/{OLD}"]
    assert found.free is not None


def test_a_host_that_has_fetched_nothing_has_nothing_to_tell(tmp_path: Path, read_fleet: Fleet) -> None:
    docker(tmp_path)

    assert looked(tmp_path, read_fleet) == HostWeights("gpu1", f"{tmp_path}/weights/hub", None, ())


def test_what_nobody_needs_is_removed_and_nothing_else(tmp_path: Path, read_fleet: Fleet) -> None:
    root = tmp_path / "weights"
    for place in (f"a/b/{COMMIT}", f"a/b/{OLD}", f"x/y/{OLD}", f".partial/a/z/{OLD}/incoming"):
        put(root, place, 10)
    docker(tmp_path)
    found = looked(tmp_path, read_fleet)

    done = run(tmp_path, remove(found))

    assert removed(done.stdout) == {f"a/b/{OLD}", f"x/y/{OLD}", f".partial/a/z/{OLD}"}
    assert (done.returncode, done.stderr) == (0, "")
    assert [item.path for item in looked(tmp_path, read_fleet).kept] == [f"a/b/{COMMIT}"]
    assert sorted(path.name for path in (root / "hub").iterdir()) == [".partial", "a"]


def test_what_a_container_has_begun_to_use_meanwhile_is_left(tmp_path: Path, read_fleet: Fleet) -> None:
    place = f"a/b/{OLD}"
    put(tmp_path / "weights", place, 10)
    docker(tmp_path)
    found = looked(tmp_path, read_fleet)
    docker(tmp_path, f"{tmp_path}/weights/hub/{place}")

    done = run(tmp_path, remove(found))

    assert removed(done.stdout) == frozenset()
    assert [finding.what for finding in kept_on("gpu1", done.stderr)] == [
        f"{place} is used by a container by now"
    ]


def test_what_is_being_fetched_is_left(tmp_path: Path, read_fleet: Fleet) -> None:
    place = f".partial/a/z/{OLD}"
    put(tmp_path / "weights", f"{place}/incoming", 10)
    docker(tmp_path)
    found = looked(tmp_path, read_fleet)
    lock = f"{tmp_path}/weights/hub/{place}.lock"

    done = run(tmp_path, f"exec 6>{lock}; flock 6; (exec 6>&-; {remove(found)})")

    assert done.stderr == f"{place} is being fetched\n"
    assert (tmp_path / "weights/hub" / place).is_dir()


def test_nothing_is_removed_while_somebody_is_at_work_on_the_host(tmp_path: Path, read_fleet: Fleet) -> None:
    put(tmp_path / "weights", f"a/b/{OLD}", 10)
    docker(tmp_path)
    found = looked(tmp_path, read_fleet)
    (tmp_path / "run").mkdir()

    done = run(tmp_path, f"exec 6>{tmp_path}/run/lock; flock 6; (exec 6>&-; {remove(found)})")

    assert (done.returncode, done.stderr) == (1, "somebody is at work on this host\n")
    assert (tmp_path / "weights/hub/a/b" / OLD).is_dir()


def test_nothing_is_removed_where_the_engine_does_not_say_what_it_runs(
    tmp_path: Path, read_fleet: Fleet
) -> None:
    put(tmp_path / "weights", f"a/b/{OLD}", 10)
    docker(tmp_path)
    found = looked(tmp_path, read_fleet)
    program(tmp_path / "bin", "docker", "exit 1")

    done = run(tmp_path, remove(found))

    assert done.stderr == "the container engine does not tell what its containers use\n"
    assert (tmp_path / "weights/hub/a/b" / OLD).is_dir()
