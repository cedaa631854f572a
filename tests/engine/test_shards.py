"""Hosts spread over processes behave as in one."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stackctl.core.artifact import Artifact
from stackctl.core.connection import Connection
from stackctl.core.finding import FailureError
from stackctl.core.job import Job, Part
from stackctl.engine.hosts import Grants
from stackctl.engine.run import Run
from stackctl.engine.shards import Shards
from stackctl.plan.event import Event
from stackctl.plan.rollout import Rollout
from tests.engine.fleet import ALICE, IMPORTS
from tests.engine.local import LocalSession

HOSTS = [f"gpu{number}" for number in range(5)]
BODY = """    written = files.write(name='write', artifacts=files_)
    server.shell(name='go on', commands=[spec], _if=written.did_change)
"""


def jobs(folder: Path, script: str = "true") -> list[Job]:
    (folder / "demo.py").write_text(IMPORTS + BODY)
    return [
        Job(
            host,
            Connection(host, "192.0.2.1"),
            (Part("demo", script, (Artifact(str(folder / host), "a\n"),)),),
        )
        for host in HOSTS
    ]


def shards(folder: Path, events: list[Event], script: str = "true") -> Shards:
    found = jobs(folder, script)
    session = _Sessions(folder / "state")
    return Shards(
        "test", found, lambda _: folder / "demo.py", events.append, lambda: ALICE, 2, new_session=session
    )


class _Sessions:
    """Sessions that keep what a host keeps below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, connection: Connection) -> LocalSession:
        return LocalSession(state=self.folder / connection.host)


def test_a_plan_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    events: list[Event] = []
    with shards(tmp_path, events) as spread:
        spread.connect()
        plan = spread.plan()
    with Run(
        "test", jobs(tmp_path), lambda _: tmp_path / "demo.py", lambda _: None, lambda: ALICE,
        new_session=_Sessions(tmp_path / "state"),
    ) as run:  # fmt: skip
        run.connect()
        alone = run.plan()

    assert plan == alone
    assert sorted(event.host for event in events if event.kind == "planned") == HOSTS


def test_an_apply_over_two_processes_does_it_all_and_leaves_nothing(tmp_path: Path) -> None:
    with shards(tmp_path, []) as spread:
        spread.connect()
        outcome = spread.apply(spread.plan(), Rollout(batch=3))

        assert not outcome.failed
        assert [len(host.done) for host in outcome.hosts] == [2] * 5
        assert spread.plan().changes == 0
        assert not spread.drift().drifted
        assert {host: [visit.result for visit in told] for host, told in spread.history()[0].items()} == {
            host: ["done"] for host in HOSTS
        }


def test_ctrl_c_stops_the_hosts_of_all_processes_and_tells_how_far_they_came(tmp_path: Path) -> None:
    events: list[Event] = []
    with shards(tmp_path, events, script="sleep 20") as spread:
        spread.connect()
        plan = spread.plan()
        threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            spread.apply(plan, grants=Grants())

        stopped = spread.interrupted()

    assert [len(host.done) for host in stopped.hosts] == [1] * 5
    assert {finding.where for host in stopped.hosts for finding in host.findings} == {
        f"{host} · demo · go on" for host in HOSTS
    }


APPLY = """
import sys
from pathlib import Path
from tests.engine.test_shards import shards

with shards(Path(sys.argv[1]), [], script="sleep 4") as spread:
    spread.connect()
    planned = spread.plan()
    print(*(shard.process.pid for shard in spread.shards), flush=True)
    spread.apply(planned)
"""


def in_the_middle(folder: Path) -> tuple["subprocess.Popen[str]", list[int]]:
    """An apply over two processes that is at its long step on all hosts, and those processes."""
    first = subprocess.Popen(
        [sys.executable, "-c", APPLY, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    others = [int(number) for number in first.stdout.readline().split()]
    for _ in range(200):
        if all((folder / host).exists() for host in HOSTS):
            return first, others
        time.sleep(0.05)
    raise TimeoutError


def are_gone(processes: list[int]) -> bool:
    """Whether they have all ended, before long."""
    for _ in range(100):
        if not any(Path(f"/proc/{number}").exists() for number in processes):
            return True
        time.sleep(0.1)
    return False


def locks_are_free(folder: Path) -> bool:
    """Whether nobody holds a host, once the steps that were at work have ended."""
    files = [folder / "state" / host / "run/lock" for host in HOSTS]
    return all(
        not file.exists() or subprocess.run(["flock", "-w", "20", file, "true"], check=False).returncode == 0
        for file in files
    )


def test_when_one_of_the_processes_is_killed_the_others_end_and_no_host_stays_locked(tmp_path: Path) -> None:
    first, others = in_the_middle(tmp_path)
    os.kill(others[0], signal.SIGKILL)
    _, err = first.communicate(timeout=30)

    assert first.returncode == 1
    assert "a process of this run is gone" in err
    assert are_gone(others)
    assert locks_are_free(tmp_path)


def test_when_the_first_process_is_killed_the_others_end_and_no_host_stays_locked(tmp_path: Path) -> None:
    first, others = in_the_middle(tmp_path)
    first.kill()
    first.communicate(timeout=30)

    assert are_gone(others)
    assert locks_are_free(tmp_path)


def test_a_killed_process_is_a_finding_and_no_fault_of_stackctls_own(tmp_path: Path) -> None:
    with shards(tmp_path, []) as spread:
        spread.connect()
        os.kill(spread.shards[0].process.pid or 0, signal.SIGKILL)
        spread.shards[0].process.join()

        with pytest.raises(FailureError, match="a process of this run is gone"):
            spread.plan()


def test_a_question_reaches_each_host_and_its_answer_comes_back(tmp_path: Path) -> None:
    with shards(tmp_path, []) as run:
        run.connect()
        told, findings = run.ask({host: (f"echo {host}", "exit 3") for host in HOSTS[:3]})

    assert findings == ()
    assert {host: [(item.status, item.stdout) for item in found] for host, found in told.items()} == {
        host: [(0, f"{host}\n"), (3, "")] for host in HOSTS[:3]
    }
