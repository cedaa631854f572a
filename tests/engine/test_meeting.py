"""Hosts that have to know each other's keys: told before a plan, made before an apply changes anything."""

from pathlib import Path

import pytest

from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.engine import meeting
from stackctl.engine.hosts import Hosts
from stackctl.engine.run import Run
from stackctl.engine.shards import Shards
from stackctl.ops.fleet import Introduction
from stackctl.plan.event import Event
from tests.engine.fleet import ALICE, IMPORTS
from tests.engine.local import LocalSession

BODY = """    from stackctl.core.artifact import Artifact
    from stackctl.ops import fleet
    from stackctl.ops.step import Step
    from pyinfra.api import operation
    from pyinfra.context import host
    from stackctl.ops.filestate import Files

    @operation()
    def key(path):
        if path not in host.get_fact(Files, wanted=[(path, "0")]):
            yield Step(f"mv {path}.new {path}", reason="make the key", action="add")

    @operation()
    def peers(path, others):
        found = host.get_fact(Files, wanted=[(path, "0")]).get(path)
        keys = {other: fleet.told(other, "key") for other in others}
        text = "".join(f"{other} {key}\\n" for other, key in keys.items() if key)
        if found is not None and found.content == text:
            return
        coming = [other for other in others if not keys[other] and fleet.takes_part(other)]
        if text or coming:
            yield Step(f"printf '%s' '{text}' >{path}", reason="know " + " ".join(others))

    key(name="make the key", path=f"{spec['folder']}/key")
    peers(name="know the others", path=f"{spec['folder']}/peers", others=spec["others"])
"""
TELL = "for f in {0}/key {0}/key.new; do [ ! -f $f ] || echo key $(cat $f); done"
MAKE = "mkdir -p {0}; [ -f {0}/key ] || echo key-of-$(basename {0}) >{0}/key.new; " + TELL


@pytest.fixture(autouse=True)
def introduced(monkeypatch: pytest.MonkeyPatch) -> None:
    def introduction(spec: dict[str, str]) -> Introduction:
        return Introduction(TELL.format(spec["folder"]), MAKE.format(spec["folder"]))

    monkeypatch.setitem(meeting.INTRODUCTIONS, "demo", introduction)


class Sessions:
    """Sessions that keep what a host keeps below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, connection: Connection) -> LocalSession:
        return LocalSession(state=self.folder / f"{connection.host}.state")


def jobs(folder: Path, *hosts: str, more: str = "") -> list[Job]:
    folder.mkdir(exist_ok=True)
    (folder / "demo.py").write_text(IMPORTS + BODY + more)
    everybody = ["gpu1", "gpu2", "gpu3"]
    specs = {
        host: {"folder": str(folder / host), "others": [other for other in everybody if other != host]}
        for host in hosts
    }
    return [Job(host, Connection(host, "192.0.2.1"), (Part("demo", specs[host], ()),)) for host in hosts]


def run_over(folder: Path, *hosts: str, processes: int = 1, more: str = "") -> Hosts:
    ignore: list[Event] = []
    wanted = jobs(folder, *hosts, more=more)
    sessions = Sessions(folder)
    if processes > 1:
        path = folder / "demo.py"
        run: Hosts = Shards(
            "test", wanted, lambda _: path, ignore.append, lambda: ALICE, processes, new_session=sessions
        )
    else:
        run = Run("test", wanted, lambda _: folder / "demo.py", ignore.append, lambda: ALICE, sessions)
    run.connect()
    return run


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def processes(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_keys_that_nobody_has_yet_are_made_first_and_known_to_all(tmp_path: Path, processes: int) -> None:
    with run_over(tmp_path, "gpu1", "gpu2", "gpu3", processes=processes) as run:
        plan = run.plan()
        assert not list(tmp_path.glob("*/key*"))
        outcome = run.apply(plan)

    assert [change.operation for change in plan.hosts[0].changes] == ["make the key", "know the others"]
    assert not outcome.failed
    assert (tmp_path / "gpu1/peers").read_text() == "gpu2 key-of-gpu2\ngpu3 key-of-gpu3\n"
    assert (tmp_path / "gpu3/peers").read_text() == "gpu1 key-of-gpu1\ngpu2 key-of-gpu2\n"
    with run_over(tmp_path, "gpu1", "gpu2", "gpu3", processes=processes) as run:
        assert run.plan().changes == 0
        assert not run.drift().hosts[0].findings


def test_a_host_that_is_not_part_of_the_run_is_waited_for_by_nobody(tmp_path: Path) -> None:
    with run_over(tmp_path, "gpu1", "gpu2") as run:
        outcome = run.apply(run.plan())

    assert not outcome.failed
    assert (tmp_path / "gpu1/peers").read_text() == "gpu2 key-of-gpu2\n"


PART = """
    from stackctl.core.finding import Finding, FindingsError

    @operation()
    def part(folder, others):
        if folder.endswith("gpu2"):
            raise FindingsError(Finding("gpu2", "cannot be planned"))
        path = f"{folder}/part"
        if path not in host.get_fact(Files, wanted=[(path, "0")]):
            names = " ".join(other for other in others if fleet.takes_part(other))
            yield Step(f"echo {names} >{path}", reason="note who takes part")

    part(name="note who takes part", folder=spec["folder"], others=spec["others"])
"""


def test_a_host_that_cannot_be_planned_takes_no_part_in_what_the_others_do(
    tmp_path: Path, processes: int
) -> None:
    for host in ("gpu1", "gpu2", "gpu3"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "key").write_text(f"key-of-{host}")
    with run_over(tmp_path, "gpu1", "gpu2", "gpu3", processes=processes, more=PART) as run:
        outcome = run.apply(run.plan())

    assert [host.failed for host in outcome.hosts] == [False, True, False]
    assert (tmp_path / "gpu1/part").read_text() == "gpu3\n"
    assert (tmp_path / "gpu1/peers").read_text() == "gpu2 key-of-gpu2\ngpu3 key-of-gpu3\n"


def test_a_key_that_was_changed_meanwhile_makes_another_plan(tmp_path: Path) -> None:
    with run_over(tmp_path, "gpu1", "gpu2") as run:
        run.apply(run.plan())
    (tmp_path / "gpu2/key").write_text("another")

    with run_over(tmp_path, "gpu1", "gpu2") as run:
        plan = run.plan()
        outcome = run.apply(plan)

    assert [len(host.changes) for host in plan.hosts] == [1, 0]
    assert not outcome.failed
    assert (tmp_path / "gpu1/peers").read_text() == "gpu2 another\n"


def test_a_host_that_cannot_make_its_key_says_so_itself(tmp_path: Path) -> None:
    with run_over(tmp_path, "gpu1", "gpu2") as run:
        (tmp_path / "gpu2").write_text("in the way")
        outcome = run.apply(run.plan())

    assert [host.failed for host in outcome.hosts] == [False, True]
    assert "gpu2 · demo · make the key" in outcome.hosts[1].findings[0].where


def test_hosts_with_nothing_to_tell_meet_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(meeting.INTRODUCTIONS, "demo")
    with run_over(tmp_path, "gpu1", "gpu2") as run:
        assert run.meet() == {}
