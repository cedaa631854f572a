"""Plan and apply against a real shell: what is said, what is done, what is left."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from stackctl.core.artifact import Artifact
from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.engine.batch import Answer, Command
from stackctl.engine.channel import LostError
from stackctl.engine.run import Run
from stackctl.views.plan import outcome_text, plan_text
from tests.engine.fleet import ALICE, IMPORTS, one_host
from tests.engine.local import LocalSession


def artifact(path: Path, content: str, mode: int = 0o644) -> Artifact:
    return Artifact(str(path), content, path.owner() if path.exists() else "root", "root", mode)


def test_a_new_file_is_planned_with_its_content_then_written_then_left_alone(tmp_path: Path) -> None:
    wanted = artifact(tmp_path / "etc/app.conf", "port 80\n", 0o640)
    run = one_host(tmp_path / "deploys", "files.write(name='write app.conf', artifacts=files_)", wanted)

    plan = run.plan()
    assert plan_text(plan) == (
        "gpu1\n"
        "  + demo  write app.conf  new\n"
        f"      + {tmp_path}/etc/app.conf  new\n"
        "        @@ -0,0 +1 @@\n"
        "        +port 80\n"
        "Plan: 1 to add, 0 to change, 0 to remove on 1 of 1 host."
    )

    outcome = run.apply(plan)
    assert outcome_text(outcome) == "gpu1  done, 1 change\nApplied: 1 change on 1 host, nothing left to do."
    assert (tmp_path / "etc/app.conf").read_text() == "port 80\n"
    assert (tmp_path / "etc/app.conf").stat().st_mode & 0o777 == 0o640
    assert plan_text(run.plan()) == "gpu1  up to date\nNothing to do on 1 host."


def test_a_conditional_operation_is_planned_only_when_its_trigger_changes(tmp_path: Path) -> None:
    body = """
    written = files.write(name='write app.conf', artifacts=files_)
    server.shell(name='reload the app', commands=['true'], _if=written.did_change)
    """
    wanted = artifact(tmp_path / "app.conf", "a\n")
    run = one_host(tmp_path / "deploys", body, wanted)

    first = [change.operation for change in run.plan().hosts[0].changes]
    assert not run.apply(run.plan()).failed

    assert first == ["write app.conf", "reload the app"]
    assert run.plan().changes == 0


def test_a_plan_takes_as_many_round_trips_for_two_hundred_operations_as_for_ten(tmp_path: Path) -> None:
    def round_trips(count: int) -> int:
        body = f"""
        for n in range({count}):
            files.block(name=f'block {{n}}', path=f'{tmp_path}/f{{n}}', marker='m', lines=['x'])
            server.user(name=f'user {{n}}', user='root')
            apt.packages(name=f'package {{n}}', names=['bash'])
        """
        return one_host(tmp_path / f"deploys{count}", body).plan().hosts[0].round_trips

    few, many = round_trips(4), round_trips(67)

    assert few == many
    assert many <= 4


def test_an_operation_that_never_settles_is_named_as_not_converging(tmp_path: Path) -> None:
    run = one_host(tmp_path / "deploys", "server.shell(name='always', commands=['true'])")

    outcome = run.apply(run.plan())

    assert outcome.failed
    assert [change.operation for change in outcome.hosts[0].left] == ["always"]


def test_a_failed_operation_stops_its_host_and_says_what_the_host_said(tmp_path: Path) -> None:
    body = """
    server.shell(name='first', commands=['echo gone wrong >&2; exit 9'])
    server.shell(name='second', commands=[f'touch ' + spec])
    """
    run = one_host(tmp_path / "deploys", body, spec=str(tmp_path / "second"))

    finding = run.apply(run.plan()).hosts[0].findings[0]

    assert finding.where == "gpu1 · demo · first"
    assert finding.what == "failed with exit status 9"
    assert finding.detail == ("gone wrong",)
    assert not (tmp_path / "second").exists()


def test_a_host_that_changed_after_the_plan_was_shown_is_refused(tmp_path: Path) -> None:
    wanted = artifact(tmp_path / "app.conf", "a\n")
    run = one_host(tmp_path / "deploys", "files.write(name='write app.conf', artifacts=files_)", wanted)
    plan = run.plan()
    (tmp_path / "app.conf").write_text("someone else\n")

    finding = run.apply(plan).hosts[0].findings[0]

    assert (
        finding.what == "an apply would do something else now than when the plan was made; nothing was done"
    )
    assert (tmp_path / "app.conf").read_text() == "someone else\n"


class Breaking(LocalSession):
    """Loses the connection at the n-th exchange."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        if self.round_trips == self.at:
            raise LostError("the connection broke")
        return super().run(commands)


def test_a_connection_that_breaks_at_any_exchange_is_one_finding_and_the_next_apply_converges(
    tmp_path: Path,
) -> None:
    broken = 0
    for at in range(1, 9):
        body = f"""
        files.write(name='write app.conf', artifacts=files_)
        files.block(name='list hosts', path='{tmp_path}/hosts{at}', marker='fleet', lines=['a'])
        """
        wanted = artifact(tmp_path / f"app{at}.conf", "a\n")
        folder = tmp_path / f"deploys{at}"
        run = one_host(folder, body, wanted, session=lambda _, at=at: Breaking(at))  # type: ignore[misc]
        findings = run.apply(run.plan()).hosts[0].findings
        assert all("the connection broke" in finding.what for finding in findings)
        broken += bool(findings)
        again = one_host(folder, body, wanted)
        assert not again.apply(again.plan()).failed
        assert (tmp_path / f"app{at}.conf").read_text() == "a\n"
    assert broken >= 5


def test_a_problem_an_earlier_change_may_cure_waits_for_that_change(tmp_path: Path) -> None:
    body = """
    from pyinfra import host
    from pyinfra.api import operation
    from pyinfra.facts.server import Command

    @operation()
    def read(path):
        host.get_fact(Command, command='cat ' + path)
        yield from ()

    files.write(name='write app.conf', artifacts=files_)
    read(name='read it', path=files_[0].path)
    """
    wanted = artifact(tmp_path / "app.conf", "a\n")
    run = one_host(tmp_path / "deploys", body, wanted)
    plan = run.plan()

    assert plan.findings == ()
    assert plan.hosts[0].changes[1].reason == "cannot be known before `write app.conf` is done"
    assert not run.apply(plan).failed


def test_where_an_operation_went_wrong_is_shown_for_debugging_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = """
    from pyinfra.api import operation

    @operation()
    def broken():
        raise ValueError('typo')
        yield

    broken(name='break')
    """
    caplog.set_level("DEBUG", "stackctl")

    finding = one_host(tmp_path / "deploys", body).plan().findings[0]

    assert finding.what == "cannot be planned: ValueError: typo"
    assert "demo.py" in caplog.text


def test_a_fault_in_a_deploy_is_a_finding_with_its_host(tmp_path: Path) -> None:
    run = one_host(tmp_path / "deploys", "raise ValueError('typo')")

    assert [finding.where for finding in run.plan().findings] == ["gpu1 · demo"]
    assert run.plan().findings[0].what == "deploys/demo.py cannot be called: ValueError: typo"


def test_an_interrupted_run_tells_hosts_that_were_done_from_those_that_were_not(tmp_path: Path) -> None:
    class Stopping(LocalSession):
        def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
            if any(command.script == "true forever" for command in commands):
                time.sleep(1)
                os.kill(os.getpid(), signal.SIGINT)
            return super().run(commands)

    path = tmp_path / "demo.py"
    body = "    written = files.write(name='write', artifacts=files_)\n"
    shell = "    server.shell(name='go on', commands=[spec], _if=written.did_change)\n"
    path.write_text(IMPORTS + body + shell)
    listed = [
        Job(
            host,
            Connection(host, "192.0.2.1"),
            (Part("demo", script, (artifact(tmp_path / host, "a\n"),)),),
        )
        for host, script in (("gpu1", "true"), ("gpu2", "true forever"))
    ]
    run = Run("test", listed, lambda _: path, lambda _: None, lambda: ALICE, new_session=lambda _: Stopping())
    run.connect()
    plan = run.plan()

    with pytest.raises(KeyboardInterrupt):
        run.apply(plan)

    done, stopped = run.interrupted().hosts
    assert (done.host, len(done.done), done.findings) == ("gpu1", 2, ())
    assert [finding.where for finding in stopped.findings] == ["gpu2 · demo · go on"]


def test_conditions_on_several_operations_are_planned_whatever_order_their_facts_come_in(
    tmp_path: Path,
) -> None:
    body = """
    from pyinfra.operations.util import any_changed
    a = files.write(name='write a', artifacts=files_[:1])
    b = files.write(name='write b', artifacts=files_[1:])
    server.shell(name='either', commands=['true'], _if=any_changed(a, b))
    server.shell(name='both', commands=['true'], _if=[a.did_change, b.did_change])
    server.shell(name='neither', commands=['true'], _if=lambda: not a.did_change() and not b.did_change())
    server.shell(name='old way', commands=['true'], _if=a.did_not_change)
    """
    listed = (artifact(tmp_path / "a", "a\n"), artifact(tmp_path / "b", "b\n"))
    (tmp_path / "a").write_text("a\n")
    run = one_host(tmp_path / "deploys", body, *listed)
    plan = run.plan()

    assert plan.findings == ()
    assert [change.operation for change in plan.hosts[0].changes] == ["write b", "either", "old way"]


def test_a_condition_that_cannot_be_asked_is_a_finding(tmp_path: Path) -> None:
    body = "server.shell(name='odd', commands=['true'], _if=lambda: 1 / 0)"

    (finding,) = one_host(tmp_path / "deploys", body).plan().findings

    assert finding.what == "cannot be planned: ZeroDivisionError: division by zero"


def test_a_deploy_that_asks_its_host_while_it_is_read_is_a_finding(tmp_path: Path) -> None:
    body = """
    from pyinfra import host
    from pyinfra.facts.server import Hostname
    if host.get_fact(Hostname) == 'gpu1':
        server.shell(name='x', commands=['true'])
    """

    (finding,) = one_host(tmp_path / "deploys", body).plan().findings

    assert finding.what == "deploys/demo.py asks about the host while it is read"


def test_settings_of_an_operation_hold_for_our_own_operations_too(tmp_path: Path) -> None:
    body = """
    files.directories(name='as nobody', paths=[spec + '/a'], _sudo=True, _sudo_user='nobody')
    files.directories(name='as us', paths=[spec + '/b'], _chdir=spec, _env={'X': 'y'})
    """
    tmp_path.chmod(0o777)
    for folder in list(tmp_path.parents)[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    run = one_host(tmp_path / "deploys", body, spec=str(tmp_path))

    outcome = run.apply(run.plan())

    assert outcome.hosts[0].findings == ()
    assert ((tmp_path / "a").owner(), (tmp_path / "b").owner()) == ("nobody", "root")


@pytest.mark.parametrize("size", [3_000_000])
def test_long_output_that_is_not_text_is_cut_to_its_end(tmp_path: Path, size: int) -> None:
    script = f"head -c {size} /dev/urandom; printf '\\n\\377\\200 the end\\n' >&2; exit 3"
    run = one_host(tmp_path / "deploys", "server.shell(name='noise', commands=[spec])", spec=script)

    finding = run.apply(run.plan()).hosts[0].findings[0]

    assert finding.what == "failed with exit status 3"
    assert finding.detail[-1] == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} the end"
