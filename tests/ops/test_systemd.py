"""Units: started, enabled, and restarted for as long as they owe it, whatever the clock does."""

import os
from pathlib import Path

import pytest

from stackctl.engine.run import Run
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

SERVICE = "systemd.service(name='run app', unit='app', reads=[spec])"
FUTURE = "Fri 2100-01-01 00:00:00.000000 UTC"
PAST = "Thu 2015-01-01 00:00:00.000000 UTC"


@pytest.fixture(autouse=True)
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where stamps are kept, instead of this machine's own place."""
    monkeypatch.setattr("stackctl.ops.unitstate.STAMPS", str(tmp_path / "stamps/units"))
    return tmp_path / "stamps/units"


def unit(
    tmp_path: Path,
    body: str = SERVICE,
    *,
    active: str = "active",
    enabled: str = "enabled",
    since: str = FUTURE,
    load: str = "loaded",
) -> Run:
    """A host with a unit in this state; a restart gives it another invocation."""
    show = f"LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\nActiveEnterTimestamp={since}"
    (tmp_path / "show").write_text(f"{show}\nStateChangeTimestamp={since}\n")
    if not (tmp_path / "invocation").exists():
        (tmp_path / "invocation").write_text("0\n")
    script = f"""case "$*" in
      *--value*) cat {tmp_path}/invocation;;
      show*) cat {tmp_path}/show; echo "InvocationID=$(cat {tmp_path}/invocation)";;
      restart*) echo "$*" >>{tmp_path}/calls; echo "$(($(cat {tmp_path}/invocation) + 1))" >{tmp_path}/invocation;;
      *) echo "$*" >>{tmp_path}/calls;;
    esac"""
    program(tmp_path / "bin", "systemctl", script)
    program(tmp_path / "bin", "sleep", "true")
    return one_host(
        tmp_path / "d", body, spec=str(tmp_path / "conf"), session=lambda _: LocalSession(tmp_path / "bin")
    )


def reasons(run: Run) -> list[str]:
    """Why the unit is acted on, as the host is now."""
    run.declared["gpu1"].connector.forget()
    plan = run.plan()
    assert plan.findings == ()
    return [change.reason for change in plan.hosts[0].changes if change.operation == "run app"]


@pytest.mark.parametrize(
    ("active", "enabled", "since", "expected"),
    [
        ("active", "enabled", FUTURE, []),
        ("active", "static", FUTURE, []),
        ("active", "alias", FUTURE, []),
        ("inactive", "disabled", "", ["enable app at boot; start app"]),
        ("failed", "enabled", FUTURE, ["start app"]),
        ("active", "enabled", PAST, ["restart app, {}/conf changed since its last start"]),
    ],
)
def test_a_unit_gets_what_it_lacks_and_no_more(
    tmp_path: Path, active: str, enabled: str, since: str, expected: list[str]
) -> None:
    (tmp_path / "conf").write_text("x")

    run = unit(tmp_path, active=active, enabled=enabled, since=since)

    assert reasons(run) == [reason.format(tmp_path) for reason in expected]


def test_a_unit_whose_definition_changed_is_read_again_and_restarted(tmp_path: Path) -> None:
    body = """
    unit = files.block(name='write the drop-in', path=spec, marker='m', lines=['x'])
    systemd.service(name='run app', unit='app', on_change='reload', defined_by=[spec], redefined=[unit])
    """

    assert reasons(unit(tmp_path, body)) == [
        f"let systemd read the changed unit; restart app, because {tmp_path}/conf changes"
    ]


def test_a_reload_names_the_files_of_this_run_that_change(tmp_path: Path) -> None:
    (tmp_path / "conf.same").write_text("# stackctl m: begin\nx\n# stackctl m: end\n")
    body = """
    parts = [
        files.block(name=f'write {end}', path=spec + end, marker='m', lines=['x'])
        for end in ('.same', '.a', '.b', '.c', '.d', '.e')
    ]
    reads = [spec + '.unchanged', spec + '.a']
    systemd.service(name='run app', unit='app', reads=reads, on_change='reload', after=parts)
    """

    assert reasons(unit(tmp_path, body)) == [
        f"reload app, because {tmp_path}/conf.a, {tmp_path}/conf.b, {tmp_path}/conf.c and 2 more change"
    ]


def test_where_an_operation_does_not_say_what_it_changes_all_files_that_the_unit_reads_are_named(
    tmp_path: Path,
) -> None:
    body = """
    tool = server.shell(name='run the tool', commands=['true'])
    systemd.service(name='run app', unit='app', reads=[spec, '/etc/hosts'], after=[tool])
    """

    assert reasons(unit(tmp_path, body)) == [f"restart app, because {tmp_path}/conf, /etc/hosts change"]


def test_a_unit_that_an_earlier_operation_brings_is_not_known_yet(tmp_path: Path) -> None:
    run = unit(tmp_path, load="not-found", active="inactive", enabled="", since="")
    run.plan()

    (evaluation,) = run.readings["gpu1"].evaluations
    assert [command.known for command in evaluation.commands] == [False, False]
    assert seen(run) == {"unit app": {}}


@pytest.mark.parametrize(
    ("active", "enabled", "expected"),
    [
        ("active", "enabled", {"state": "active", "boot": "enabled"}),
        ("reloading", "static", {"state": "active", "boot": "enabled"}),
        ("deactivating", "enabled", {"state": "inactive", "boot": "enabled"}),
        ("failed", "disabled", {"state": "failed", "boot": "disabled"}),
    ],
)
def test_a_unit_is_seen_with_its_state_now_and_at_boot(
    tmp_path: Path, active: str, enabled: str, expected: dict[str, str]
) -> None:
    assert seen(unit(tmp_path, active=active, enabled=enabled)) == {"unit app": expected}


def test_a_guard_goes_with_all_that_is_done_to_a_unit(tmp_path: Path) -> None:
    body = """
    from stackctl.ops.step import Guard
    guard = Guard('app', (spec,))
    systemd.service(name='run app', unit='app', reads=[spec], guard=guard)
    files.block(name='write conf', path=spec, marker='m', lines=['x'], guard=guard)
    files.write(name='write files', artifacts=files_, guard=guard)
    """
    run = unit(tmp_path, body, active="inactive", enabled="disabled")
    run.plan()

    commands = [command for item in run.readings["gpu1"].evaluations for command in item.commands]
    assert {command.guard.name for command in commands} == {"app"}


# What follows runs the scripts: the unit's clock says it started in 2015, and every file is newer than that.


def applied(run: Run) -> Run:
    assert not run.apply(run.plan()).failed
    return run


def test_after_a_restart_of_ours_times_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("one")

    run = applied(unit(tmp_path, since=PAST))

    assert (tmp_path / "calls").read_text() == "reset-failed -- app\nrestart -- app\nis-active -q -- app\n"
    assert reasons(run) == []
    (tmp_path / "conf").touch()
    (tmp_path / "conf").chmod(0o600)
    assert reasons(run) == []


@pytest.mark.parametrize("how", ["changes", "goes", "comes"])
def test_a_file_that_is_not_what_the_unit_was_started_with_owes_a_restart_that_names_it(
    tmp_path: Path, how: str
) -> None:
    conf, other = tmp_path / "conf", tmp_path / "conf.d"
    other.write_text("same")
    if how != "comes":
        conf.write_text("one")
    body = "systemd.service(name='run app', unit='app', reads=[spec + '.d', spec])"
    run = applied(unit(tmp_path, body, since=PAST))
    unit(tmp_path, body, since=FUTURE)
    assert reasons(run) == []

    if how == "goes":
        conf.unlink()
    else:
        conf.write_text("two")

    assert reasons(run) == [f"restart app, {conf} changed since its last start"]
    applied(run)
    assert reasons(run) == []


def test_a_pipe_in_the_place_of_a_file_that_a_unit_reads_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("one")
    run = applied(unit(tmp_path, since=PAST))
    unit(tmp_path, since=FUTURE)
    (tmp_path / "conf").unlink()
    os.mkfifo(tmp_path / "conf")

    assert reasons(run) == [f"restart app, {tmp_path}/conf changed since its last start"]


@pytest.mark.parametrize(
    ("since", "expected"),
    [(FUTURE, []), (PAST, ["restart app, {}/conf changed since its last start"])],
)
def test_a_unit_that_somebody_else_started_since_is_judged_by_times(
    tmp_path: Path, since: str, expected: list[str]
) -> None:
    (tmp_path / "conf").write_text("one")
    run = applied(unit(tmp_path, since=PAST))
    (tmp_path / "conf").write_text("two")
    (tmp_path / "invocation").write_text("99\n")
    unit(tmp_path, since=since)

    assert reasons(run) == [reason.format(tmp_path) for reason in expected]


def test_a_change_while_the_unit_starts_counts_as_one_after(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("one")
    run = unit(tmp_path, since=PAST)
    program(tmp_path / "bin", "sleep", f"echo two >{tmp_path}/conf")

    outcome = run.apply(run.plan()).hosts[0]

    assert [change.reason for change in outcome.left] == [
        f"restart app, {tmp_path}/conf changed since its last start"
    ]


def test_applies_that_follow_each_other_quickly_do_not_use_up_the_starts_that_systemd_allows(
    tmp_path: Path,
) -> None:
    run = unit(tmp_path, active="inactive")
    starts = f"{tmp_path}/starts"
    limited = f"reset-failed) rm -f {starts} ;; restart) echo >>{starts}; [ $(wc -l <{starts}) -le 3 ] ;;"
    real = (tmp_path / "bin/systemctl").read_text().partition("\n")[2]
    program(tmp_path / "bin", "systemctl", f"case $1 in {limited} *)\n{real}\nesac")

    findings = [run.apply(run.plan()).hosts[0].findings for _ in range(5)]

    assert findings == [()] * 5


def test_a_start_that_failed_leaves_no_stamp(tmp_path: Path, stamps: Path) -> None:
    (tmp_path / "conf").write_text("one")
    run = unit(tmp_path, since=PAST)
    program(tmp_path / "bin", "sleep", "exit 3")
    program(tmp_path / "bin", "journalctl", "echo 'bad directive'")

    (finding,) = run.apply(run.plan()).hosts[0].findings

    assert finding.what == "failed with exit status 3"
    assert finding.detail == ("bad directive",)
    assert not stamps.exists()


def test_hashes_of_what_may_be_secret_are_for_root_alone(tmp_path: Path, stamps: Path) -> None:
    (tmp_path / "conf").write_text("hunter2")

    applied(unit(tmp_path, since=PAST))

    assert stamps.stat().st_mode & 0o777 == 0o700
    assert [(path.name, path.stat().st_mode & 0o777) for path in stamps.iterdir()] == [("app", 0o600)]


def test_a_start_is_known_by_the_present_clock_as_well(tmp_path: Path) -> None:
    """The unit's clock said 2100 as it started, an hour ago; the file is of now."""
    conf = tmp_path / "conf"
    conf.write_text("x")
    run = unit(tmp_path)
    up = float(Path("/proc/uptime").read_text().split()[0])
    with (tmp_path / "show").open("a") as show:
        show.write(f"ActiveEnterTimestampMonotonic={int(max(up - 3600, 1) * 1e6)}\n")

    assert reasons(run) == [f"restart app, {conf} changed since its last start"]
