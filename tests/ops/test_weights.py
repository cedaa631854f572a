"""Weights on a host: what is missing is fetched by a unit of its own, where there is the room."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.agents import __file__ as agents
from stackctl.capabilities.weights import Repository, Source, Unlocked, WeightsSpec
from stackctl.engine.run import Run
from stackctl.ops.weights import seconds
from tests.agents.hub import CONTENT, Hub, running, sha256
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

BODY = """
from stackctl.ops import weights
weights.fetched(name='fetch the weights', spec=spec)
"""
FILES = tuple((path, len(content), sha256(content)) for path, content in sorted(CONTENT.items()))
SIZE = sum(size for _, size, _ in FILES)


def spec(folder: Path, *sources: Source, size: int = SIZE, unlocked: Sequence[Unlocked] = ()) -> WeightsSpec:
    root = f"{folder}/weights"
    item = Repository(
        "a/b", f"{root}/hub/a/b/c", size, FILES, sources or (Source("hub", "http://127.0.0.1:1"),)
    )
    return WeightsSpec(root, (), (item,), tuple(unlocked), (), None)


def run_of(folder: Path, wanted: WeightsSpec) -> Run:
    """A host whose systemd runs units as this machine's shell does."""
    program(folder / "bin", "sleep", "/bin/sleep 0.05")
    program(folder / "bin", "df", f"echo Avail; cat {folder}/free 2>/dev/null || echo 1000000000")
    program(folder / "bin", "systemctl", f"[ -e {folder}/unit ] && kill -0 $(cat {folder}/unit) 2>/dev/null")
    started = f'while [ "$1" != sh ]; do shift; done; setsid "$@" >/dev/null 2>&1 & echo $! >{folder}/unit'
    program(folder / "bin", "systemd-run", f'echo "$@" >>{folder}/started\n{started}')
    return one_host(
        folder / "d", BODY, spec=wanted, session=lambda _: LocalSession(folder / "bin", folder / "kept")
    )


@pytest.fixture(autouse=True)
def program_and_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the deploy's other operations write."""
    manifest = tmp_path / "manifest"
    monkeypatch.setattr("stackctl.ops.weights.PROGRAM_FILE", f"{Path(agents).parent}/fetch_weights.sh")
    monkeypatch.setattr("stackctl.ops.weights.MANIFEST_FILE", str(manifest))
    return manifest


def written(manifest: Path, wanted: WeightsSpec) -> None:
    [item] = wanted.repositories
    lines = [f"weights {item.path}", *(f"from {source.name} {source.base}" for source in item.sources)]
    lines += [f"file {size} {sha} {path}" for path, size, sha in item.files]
    manifest.write_text("\n".join(lines) + "\n")


def complaints(run: Run) -> list[str]:
    return [f"{finding.what} | {finding.hint}" for finding in run.plan().findings]


def test_what_is_missing_is_fetched_in_a_unit_of_its_own_and_then_nothing_is_left(
    tmp_path: Path, program_and_manifest: Path
) -> None:
    with running() as hub:
        wanted = spec(tmp_path, Source("gpu2", "http://127.0.0.1:1"), Source("the-hub", hub.base))
        written(program_and_manifest, wanted)
        run = run_of(tmp_path, wanted)
        plan = run.plan()
        [change] = plan.hosts[0].changes

        [outcome] = run.apply(plan).hosts

    assert (change.reason, change.action) == ("fetch a/b 512.0 KB from gpu2 or the-hub", "add")
    assert (outcome.findings, outcome.left) == ((), ())
    assert "ProtectSystem=strict" in (tmp_path / "started").read_text()
    assert (tmp_path / "weights/hub/a/b/c/config.json").read_bytes() == CONTENT["config.json"]


def test_a_source_that_has_something_else_fails_the_apply_with_its_name(
    tmp_path: Path, program_and_manifest: Path
) -> None:
    with running(Hub(files={**CONTENT, "config.json": b"x" * 13})) as hub:
        wanted = spec(tmp_path, Source("the-hub", hub.base))
        written(program_and_manifest, wanted)
        run = run_of(tmp_path, wanted)

        [outcome] = run.apply(run.plan()).hosts

    [finding] = outcome.findings
    assert finding.what == "config.json cannot be had"
    assert finding.detail[-1].startswith("config.json of the-hub: has the sha256 ")
    assert finding.hint is not None
    assert finding.hint.endswith("what has come is kept, and an apply goes on with it")


def test_a_fetch_that_runs_already_is_waited_for_and_not_begun_twice(
    tmp_path: Path, program_and_manifest: Path
) -> None:
    wanted = spec(tmp_path)
    written(program_and_manifest, wanted)
    run = run_of(tmp_path, wanted)
    plan = run.plan()
    target = wanted.repositories[0].path
    other = f"until [ -e {tmp_path}/asked ]; do /bin/sleep 0.05; done; mkdir -p {target}; head -c {SIZE} /dev/zero >{target}/x"
    program(
        tmp_path / "bin",
        "systemctl",
        f"touch {tmp_path}/asked; [ ! -d {target} ]",
    )
    program(tmp_path / "bin", "sleep", other)

    [outcome] = run.apply(plan).hosts

    assert outcome.findings == ()
    assert not (tmp_path / "started").exists()


def test_a_unit_that_somebody_ended_is_told(tmp_path: Path) -> None:
    run = run_of(tmp_path, spec(tmp_path))
    program(tmp_path / "bin", "systemd-run", "exit 0")
    program(tmp_path / "bin", "systemctl", "exit 3")

    [outcome] = run.apply(run.plan()).hosts

    assert [finding.what for finding in outcome.findings] == ["the fetch was ended from outside"]


def test_a_disk_without_the_room_for_what_is_missing_is_refused_before_anything_is_done(
    tmp_path: Path,
) -> None:
    (tmp_path / "free").write_text("20000000000\n")
    wanted = spec(tmp_path, size=45_000_000_000)

    assert complaints(run_of(tmp_path, wanted)) == [
        (
            f"{tmp_path}/weights: has 20.0 GB of room, and 45.0 GB of weights have yet to be fetched"
            " | make room, perhaps with `stackctl weights prune`, or name a larger disk in the host's `weights`"
        )
    ]


def test_what_has_come_already_needs_no_room_again(tmp_path: Path) -> None:
    (tmp_path / "free").write_text("20000000000\n")
    part = tmp_path / "weights/hub/.partial/a/b/c/incoming"
    part.mkdir(parents=True)
    with (part / "hash").open("wb") as file:
        file.truncate(30_000_000_000)

    assert complaints(run_of(tmp_path, spec(tmp_path, size=45_000_000_000))) == []


def test_a_repository_that_is_not_locked_is_refused_unless_somebody_has_put_it_there(tmp_path: Path) -> None:
    place = tmp_path / "weights/hub/a/new/v1"
    wanted = replace(spec(tmp_path, unlocked=[Unlocked("a/new@v1", str(place))]), repositories=())

    told = complaints(run_of(tmp_path, wanted))
    place.mkdir(parents=True)

    assert told == [
        (
            "a/new@v1: is not in inventory/weights.lock, so that nobody knows which files to fetch"
            f" | run `stackctl lock`, or put the weights in {place} on the host"
        )
    ]
    assert complaints(run_of(tmp_path, wanted)) == []


def test_a_directory_that_has_lost_something_is_told(tmp_path: Path) -> None:
    wanted = spec(tmp_path)
    place = Path(wanted.repositories[0].path)
    place.mkdir(parents=True)
    (place / "config.json").write_bytes(b"123")

    assert complaints(run_of(tmp_path, wanted)) == [
        f"{place}: holds 3 B, and 512.0 KB are locked | move it away on the host, and apply again to fetch it"
    ]


def test_the_size_of_a_directory_is_kept_in_mind_for_drift(tmp_path: Path) -> None:
    wanted = spec(tmp_path, unlocked=[Unlocked("a/new@v1", f"{tmp_path}/weights/hub/a/new/v1")])
    place = Path(wanted.repositories[0].path)
    place.mkdir(parents=True)
    with (place / "model").open("wb") as file:
        file.truncate(SIZE)

    assert seen(run_of(tmp_path, replace(wanted, unlocked=()))) == {f"weights {place}": {"bytes": str(SIZE)}}


@pytest.mark.parametrize(("size", "hours"), [(0, 0.25), (18_000_000_000, 0.75), (720_000_000_000, 20.25)])
def test_a_fetch_is_waited_for_as_long_as_ten_megabytes_a_second_take(size: int, hours: float) -> None:
    assert seconds(size) == hours * 3600
