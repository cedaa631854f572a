"""Applies over several hosts: waves, batches, failures, deadlines; and what an apply costs."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from stackctl.core.artifact import Artifact
from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part, Standing
from stackctl.engine.hosts import Grants
from stackctl.engine.run import Run
from stackctl.plan.event import Event
from stackctl.plan.rollout import Rollout
from stackctl.views.plan import outcome_text
from tests.engine.fleet import ALICE, IMPORTS, one_host
from tests.engine.local import LocalSession


def fleet(
    folder: Path, scripts: dict[str, str], standings: dict[str, Standing] | None = None
) -> tuple[Run, list[Event]]:
    """Hosts that run a script each, unless they have run it."""
    path = folder / "demo.py"
    path.write_text(
        f"{IMPORTS}    wanted = files.write(name='write', artifacts=files_)\n"
        "    server.shell(name='work', commands=[spec], _if=wanted.did_change)\n"
    )
    jobs = [
        Job(
            host,
            Connection(host, "192.0.2.1"),
            (Part("demo", script, (Artifact(str(folder / host), "a\n"),)),),
            (standings or {}).get(host, Standing()),
        )
        for host, script in scripts.items()
    ]
    events: list[Event] = []
    run = Run("test", jobs, lambda _: path, events.append, lambda: ALICE, lambda _: LocalSession())
    run.connect()
    return run, events


def order(events: list[Event]) -> list[str]:
    """Beginnings and ends of hosts, as they came."""
    kinds = {"started": "begins", "finished": "ends"}
    told = [f"{event.host} {kinds[event.kind]}" for event in events if event.kind in kinds]
    return list(dict.fromkeys(told))


def test_after_the_first_host_that_fails_no_more_are_begun_and_those_are_listed(tmp_path: Path) -> None:
    run, events = fleet(tmp_path, {"a": "true", "b": "exit 1", "c": "true", "d": "true"})

    outcome = run.apply(run.plan(), Rollout(batch=2))

    assert outcome_text(outcome) == (
        "a     done, 2 changes\n"
        "b     failed after 1 change, see below\n"
        "c, d  not reached: the rollout had stopped\n"
        "Applied: 3 changes on 2 hosts, 1 of 4 hosts failed, 2 not reached."
    )
    assert outcome.failed
    assert {event.host for event in events if event.kind == "started"} == {"a", "b"}
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("most", "reached"), [(0, "a"), (1, "ab"), (2, "abcd")])
def test_so_many_hosts_may_fail_before_no_more_are_begun(tmp_path: Path, most: int, reached: str) -> None:
    run, _ = fleet(tmp_path, {"a": "exit 1", "b": "exit 1", "c": "true", "d": "true"})

    outcome = run.apply(run.plan(), Rollout(batch=1, max_failures=most))

    assert [host.host for host in outcome.hosts if host.reached] == list(reached)


def test_a_batch_ends_before_the_next_begins(tmp_path: Path) -> None:
    run, events = fleet(tmp_path, dict.fromkeys("abc", "true"))

    assert not run.apply(run.plan(), Rollout(batch=1)).failed

    assert order(events) == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


def test_replicas_that_serve_already_go_one_after_the_other_and_their_gateway_last(tmp_path: Path) -> None:
    two = Standing(replicas={"chat": 2})
    standings = {"edge": Standing(after=frozenset({"gpu1", "gpu2"})), "gpu1": two, "gpu2": two}
    run, events = fleet(tmp_path, dict.fromkeys(standings, "true"), standings)
    run.apply(run.plan())
    assert order(events)[-1] == "edge ends"
    for host in standings:
        (tmp_path / host).unlink()
    events.clear()

    run.apply(run.plan())

    assert order(events) == [
        "gpu1 begins", "gpu1 ends", "gpu2 begins", "gpu2 ends", "edge begins", "edge ends",
    ]  # fmt: skip


def test_an_interrupted_rollout_lists_what_it_had_not_reached(tmp_path: Path) -> None:
    run, _ = fleet(tmp_path, {"a": "true", "b": "sleep 20", "c": "true"})
    plan = run.plan()
    threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        run.apply(plan, Rollout(batch=1))

    assert outcome_text(run.interrupted()) == (
        "a  done, 2 changes\n"
        "b  failed after 1 change, see below\n"
        "c  not reached: the rollout had stopped\n"
        "Applied: 3 changes on 2 hosts, 1 of 3 hosts failed, 1 not reached."
    )


def test_a_host_that_hangs_is_given_up_and_the_others_come_to_their_end(tmp_path: Path) -> None:
    run, _ = fleet(tmp_path, {"a": "sleep 30", "b": "true"})
    began = time.monotonic()

    outcome = run.apply(run.plan(), grants=Grants(deadline=4))

    assert time.monotonic() - began < 25
    hung, done = outcome.hosts
    assert hung.findings[0].where == "a · demo · work"
    assert (
        hung.findings[0].what == "not done after 4 s, and was given up; the step ends by itself on the host"
    )
    assert (done.findings, len(done.done)) == ((), 2)


def exchanges(folder: Path, body: str, *artifacts: Artifact) -> int:
    """Exchanges with a host of a whole apply, the plan before it left out."""
    session = LocalSession()
    run = one_host(folder, body, *artifacts, session=lambda _: session)
    plan = run.plan()
    before = session.round_trips
    assert not run.apply(plan).failed
    return session.round_trips - before


WRITES = "for n, item in enumerate(files_): files.write(name=f'write {n}', artifacts=[item])\n"


def test_small_files_that_follow_each_other_go_in_one_exchange(tmp_path: Path) -> None:
    def files(count: int) -> list[Artifact]:
        return [Artifact(f"{tmp_path}/{count}-{number}", "a\n") for number in range(count)]

    one = exchanges(tmp_path / "one", WRITES, *files(1))

    assert exchanges(tmp_path / "many", WRITES, *files(12)) == one


def test_an_operation_that_changes_nothing_costs_no_exchange(tmp_path: Path) -> None:
    still = "for n in range(30): files.directories(name=f'have /tmp {n}', paths=['/tmp'])\n"
    wanted = [Artifact(f"{tmp_path}/{number}", "a\n") for number in range(2)]

    alone = exchanges(tmp_path / "one", WRITES, wanted[0])

    assert exchanges(tmp_path / "two", still + WRITES + still, wanted[1]) == alone


def test_a_file_that_two_operations_write_is_read_again_between_them(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    body = f"""
    files.write(name='write', artifacts=files_)
    files.block(name='add a block', path='{path}', marker='m', lines=['x'])
    """
    run = one_host(tmp_path / "d", body, Artifact(str(path), "first\n"))

    outcome = run.apply(run.plan())

    assert path.read_text() == "first\n# stackctl m: begin\nx\n# stackctl m: end\n"
    assert [change.operation for change in outcome.hosts[0].left] == ["write"]
