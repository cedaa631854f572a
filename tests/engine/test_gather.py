"""Facts about single things are asked all together, and each gets the answer it would get alone."""

import re
from pathlib import Path

from stackctl.engine.run import Run
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

SHOW = """while [ "$1" != -- ]; do shift; done; shift
for unit; do
  state=active
  case $unit in
    slow*) sleep 60 ;;
    broken*) exit 1 ;;
    off*) state=inactive ;;
    none*) echo; continue ;;
  esac
  [ "$unit" = "$1" ] || echo
  printf 'ActiveState=%s\\nUnitFileState=enabled\\n' $state
done"""
"""What `systemctl show` prints, with units that hang, break it, or leave it without a word."""


def run_over(tmp_path: Path, body: str, deploy: str = "deploy") -> tuple[Run, LocalSession]:
    program(tmp_path / "bin", "systemctl", SHOW)
    session = LocalSession(tmp_path / "bin")
    return one_host(tmp_path / deploy, body, session=lambda _: session, spec=str(tmp_path)), session


def asking(session: LocalSession, program: str) -> list[int]:
    """How many commands of each batch begin with this program."""
    return [
        sum(re.match(rf"(\w+=\$\()?{program} ", command.script) is not None for command in batch)
        for batch in session.log
    ]


def test_many_operations_of_a_kind_cost_the_host_one_command(tmp_path: Path) -> None:
    body = """
    for n in range(50):
        files.block(name=f'block {n}', path=f'{spec}/{n}', marker='m', lines=['x'])
        apt.packages(name=f'package {n}', names=[f'no-such-{n}'])
        systemd.service(name=f'unit {n}', unit=f'unit{n}.service')
    """
    run, session = run_over(tmp_path, body)

    plan = run.plan()

    assert len(plan.hosts[0].changes) == 100
    assert asking(session, "find") == asking(session, "dpkg-query") == asking(session, "systemctl") == [1]


def test_each_unit_is_told_from_the_others(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.write_text("new")
    body = """
    for unit in ('on', 'off1', 'off2', 'on'):
        systemd.service(name=f'run {unit}', unit=f'{unit}.service', reads=[f'{spec}/conf'])
    """
    run, _ = run_over(tmp_path, body)

    assert [change.operation for change in run.plan().hosts[0].changes] == ["run off1", "run off2"]


def test_a_unit_that_breaks_the_common_command_costs_the_others_a_second_try_only(tmp_path: Path) -> None:
    body = """
    for unit in ('on', 'broken', 'off', 'none'):
        systemd.service(name=f'run {unit}', unit=f'{unit}.service')
    """
    run, session = run_over(tmp_path, body)

    plan = run.plan().hosts[0]

    assert [change.operation for change in plan.changes] == ["run off", "run none"]
    assert [finding.where for finding in plan.findings] == ["gpu1 · demo · run broken"]
    assert asking(session, "systemctl") == [1, 4]


def test_a_fact_that_hangs_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    body = """
    for unit in ('on', 'slow', 'off'):
        systemd.service(name=f'run {unit}', unit=f'{unit}.service', _timeout=1)
    """
    run, _ = run_over(tmp_path, body)

    plan = run.plan().hosts[0]

    assert [change.operation for change in plan.changes] == ["run off"]
    assert [(finding.where, finding.what) for finding in plan.findings] == [
        (
            "gpu1 · demo · run slow",
            "reading the host's state took too long: a program there does not answer",
        )
    ]


def test_files_of_all_sorts_are_found_together_as_they_are_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one\n")
    (tmp_path / "two words").write_text("no newline at the end")
    (tmp_path / "back\\x2dslash").write_text("escaped\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    (tmp_path / "large").write_bytes(b"x" * (256 * 1024 + 1))
    (tmp_path / "link").symlink_to("text")
    (tmp_path / "loose").symlink_to("gone\nis\tf\t644\troot/root\tx")
    (tmp_path / "folder").mkdir()
    names = ("text", "two words", "back\\x2dslash", "binary", "large", "link", "loose", "folder", "absent")
    block = "files.block(name={0!r}, path=f'{{spec}}/'+{0!r}, marker='m', lines=['x'])\n"

    together = run_over(tmp_path, "".join(block.format(name) for name in names))[0].plan().hosts[0]
    alone = [run_over(tmp_path, block.format(name), f"deploy {name}")[0].plan().hosts[0] for name in names]

    assert together.changes == tuple(change for plan in alone for change in plan.changes)
    assert together.findings == tuple(finding for plan in alone for finding in plan.findings)
    assert [change.operation for change in together.changes] == [*names[:3], "absent"]
