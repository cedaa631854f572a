"""The machine: its name, its kernel's settings, and the reboots it owes."""

from pathlib import Path

import pytest

from stackctl.engine.run import Run
from stackctl.ops.step import Reboot
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where owed reboots are marked, instead of this machine's own place."""
    monkeypatch.setattr("stackctl.ops.machine.REBOOTS", str(tmp_path / "reboot"))
    monkeypatch.setattr("stackctl.ops.machine.REQUIRED", str(tmp_path / "reboot-required"))
    (tmp_path / "reboot").mkdir()
    return tmp_path


def reboots(run: Run) -> list[tuple[str, str]]:
    """Reason and marker of each reboot that is planned."""
    run.plan()
    commands = run.readings["gpu1"].evaluations[-1].commands
    assert all(isinstance(command, Reboot) for command in commands)
    return [(command.reason, command.marker) for command in commands]


BODY = """
driver = files.block(name='write the driver settings', path=spec[0], marker='m', lines=['x'])
machine.reboot(
    name='restart the machine', reason='load the driver', marker='driver', after=[driver], packages=spec[1])
"""
DONE = "# stackctl m: begin\nx\n# stackctl m: end\n"


@pytest.mark.parametrize(
    ("file", "marks_", "asked", "expected"),
    [
        (DONE, {}, True, []),
        ("", {}, False, ["load the driver"]),
        (DONE, {"reboot/driver": ""}, False, ["load the driver"]),
        (DONE, {"reboot/firmware": ""}, False, []),
        ("", {"reboot/driver": ""}, True, ["load the driver"]),
        (DONE, {"reboot-required": "*** System restart required ***"}, False, []),
        (DONE, {"reboot-required": ""}, True, ["an installed package asks for it"]),
        (
            DONE,
            {
                "reboot-required": "",
                "reboot-required.pkgs": "linux-image-6.12\nlibc6\nlibc6\ndbus\nsystemd\n",
            },
            True,
            ["dbus, libc6, linux-image-6.12 and 1 more ask for it"],
        ),
        (
            DONE,
            {"reboot/driver": "", "reboot-required": "", "reboot-required.pkgs": "ours\n"},
            True,
            ["load the driver; ours asks for it"],
        ),
        (DONE, {"reboot-required.pkgs": "libc6\n"}, True, []),
    ],
)
def test_a_reboot_is_due_after_changes_and_for_as_long_as_it_is_owed(
    marks: Path, file: str, marks_: dict[str, str], *, asked: bool, expected: list[str]
) -> None:
    (marks / "conf").write_text(file)
    for name, text in marks_.items():
        (marks / name).write_text(text)

    run = one_host(marks / "d", BODY, spec=(str(marks / "conf"), asked))

    assert reboots(run) == [(reason, "driver") for reason in expected]


def test_name_and_settings_are_seen(tmp_path: Path) -> None:
    program(tmp_path / "bin", "uname", "echo gpu1")
    program(tmp_path / "bin", "cat", "echo old-name")
    program(tmp_path / "bin", "sysctl", '[ "$2" = vm.swappiness ] && printf "10\\t20\\n"')
    body = """
    machine.named(name='set the host name', hostname='gpu1')
    machine.sysctl(name='set values', values={'vm.swappiness': '10 20', 'net.none': '1'})
    """
    run = one_host(tmp_path / "d", body, session=lambda _: LocalSession(tmp_path / "bin"))

    assert seen(run) == {
        "host name": {"name": "gpu1", "boot": "old-name"},
        "kernel setting vm.swappiness": {"value": "10 20"},
        "kernel setting net.none": {},
    }


def test_many_settings_are_set_at_once_and_those_of_what_is_not_there_are_left_to_the_file(
    tmp_path: Path,
) -> None:
    program(tmp_path / "bin", "sysctl", "case $2 in vm.*) echo 0;; *) exit 1;; esac")
    body = """
    values = {f'vm.{name}': '1' for name in 'abcd'} | {'net.ppp0.x': '1'}
    machine.sysctl(name='set values', values=values, passing=['net.ppp0.x'])
    """
    run = one_host(tmp_path / "d", body, session=lambda _: LocalSession(tmp_path / "bin"))

    [change] = run.plan().hosts[0].changes

    assert change.reason == "vm.a becomes 1, vm.b becomes 1, vm.c becomes 1 and 1 more"
