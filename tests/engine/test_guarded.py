"""A guarded change that takes the connection along in the middle."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from stackctl.core.connection import Connection
from stackctl.core.finding import FailureError, Finding
from stackctl.engine import guard
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer, Command
from stackctl.engine.channel import LostError
from stackctl.engine.run import Run
from stackctl.engine.session import Session
from stackctl.ops.step import Guard
from stackctl.plan.change import HostOutcome
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

BODY = """
from stackctl.core.artifact import Artifact
from stackctl.ops.step import Guard
guard = Guard("mesh", (spec,), ())
files.write(name="change", artifacts=[Artifact(spec, "new", owner=owner, group=owner)], guard=guard)
"""


class Breaking(LocalSession):
    """Carries the guarded change out, and is then no longer there to tell of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "bin", folder / "state")
        self.broken = False

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        if self.broken:
            raise LostError("the connection broke")
        answers = super().run(commands)
        self.broken = any("--unit=stackctl-guard-mesh" in command.script for command in commands)
        if self.broken:
            raise LostError("the connection broke")
        return answers


class Away(LocalSession):
    """A host that cannot be reached."""

    def open(self) -> None:
        raise FailureError(Finding("gpu1", "is down"))


def applied(folder: Path, *then: type[LocalSession]) -> HostOutcome:
    """An apply whose connection breaks in the middle, and what comes of each attempt to connect anew."""
    (folder / "file").write_text("old")
    for name in ("systemd-run", "systemctl"):
        program(folder / "bin", name, "true")
    coming = iter(then)
    first = [True]

    def session(_: Connection) -> Session:
        if first:
            first.clear()
            return Breaking(folder)
        return next(coming, Away)(folder / "bin", folder / "state")

    owner = Path(folder / "file").owner()
    run: Run = one_host(
        folder / "d", f"owner = {owner!r}\n{BODY}", spec=str(folder / "file"), session=session
    )
    return run.apply(run.plan()).hosts[0]


def test_a_host_that_is_reached_again_is_as_it_was_before(tmp_path: Path) -> None:
    outcome = applied(tmp_path, LocalSession)

    [finding] = outcome.findings
    assert finding.what == "the change to mesh cut this machine off; the host is as it was before"
    assert (tmp_path / "file").read_text() == "old"
    assert outcome.done == ()


def test_a_host_that_comes_back_after_it_has_restored_what_was_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_FRESH_SECONDS", -1)

    [finding] = applied(tmp_path, Away, LocalSession).findings

    assert finding.what == "the change to mesh cut this machine off; the host is as it was before"


def test_a_host_that_stays_away_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_FRESH_SECONDS", -1)
    monkeypatch.setattr(guard, "_RESTORED_SECONDS", -1)

    [finding] = applied(tmp_path).findings

    assert finding.what == "the change to mesh cut this machine off, and the host is not back"


class Host:
    """A guarded change of `file`, and a boot after a power cut, which a timer does not outlast."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file, self.kept = folder, folder / "file", folder / "state/lib/guard"
        self.units = folder / "state/units"
        self.guard = Guard("mesh", (str(self.file),), (f"cp {self.file} {folder}/counts",))
        self.session = LocalSession(folder / "bin", folder / "state")
        for name in ("systemd-run", "systemctl"):
            program(folder / "bin", name, "true")
        self.file.write_text("old")
        self.done(guard.arm(self.guard, Actor("alice", "laptop", "", "r1")))
        self.file.write_text("new")

    def done(self, command: Command) -> None:
        [answer] = self.session.run([command])
        assert (answer.status, answer.stderr) == (0, "")

    def boot(self) -> None:
        """Start the unit as systemd would, if it would."""
        for link in (self.units / "multi-user.target.wants").iterdir():
            text = link.resolve(strict=True).read_text()
            conditions = re.findall(r"^ConditionPathExists=\|(.+)$", text, re.MULTILINE)
            folder, command = re.findall(r"^(?:WorkingDirectory|ExecStart)=(.+)$", text, re.MULTILINE)
            if any(Path(path).exists() for path in conditions):
                path = f"PATH={self.folder}/bin:$PATH"
                subprocess.run(["sh", "-c", f"{path} {command.replace('$$', '$')}"], cwd=folder, check=True)

    def left(self) -> list[str]:
        """What is left of the guard."""
        found = [*self.kept.iterdir(), *self.units.iterdir(), *self.units.glob("*/*")]
        return sorted(path.name for path in found if path.name != "multi-user.target.wants")


def test_a_boot_takes_back_what_nobody_confirmed_before_a_power_cut(tmp_path: Path) -> None:
    host = Host(tmp_path)

    host.boot()

    assert (host.file.read_text(), (tmp_path / "counts").read_text()) == ("old", "old")
    assert '"restored"' in (tmp_path / "state/lib/audit.jsonl").read_text()
    assert host.left() == []


def test_a_boot_ends_what_a_power_cut_stopped_in_the_middle_of_restoring(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (host.kept / "mesh").rename(host.kept / "mesh.restoring")

    host.boot()

    assert host.file.read_text() == "old"
    assert host.left() == []


def test_a_change_that_was_confirmed_outlasts_a_boot(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.done(guard.disarm(host.guard))

    host.boot()

    assert host.file.read_text() == "new"
    assert host.left() == []


def test_a_change_that_is_taken_back_at_once_leaves_nothing_for_the_next_boot(tmp_path: Path) -> None:
    host = Host(tmp_path)

    host.done(guard.take_back(host.guard))

    assert host.file.read_text() == "old"
    assert host.left() == []


def test_the_unit_of_a_power_cut_between_confirming_and_clearing_up_goes_with_the_next_run(
    tmp_path: Path,
) -> None:
    host = Host(tmp_path)
    (host.kept / "mesh").rename(host.kept / "mesh.confirmed")

    host.boot()
    host.done(guard.TAKE_BACK_UNCONFIRMED)

    assert host.file.read_text() == "new"
    assert host.left() == []


def test_a_timer_that_systemd_is_slow_to_forget_is_set_anew_all_the_same(tmp_path: Path) -> None:
    host = Host(tmp_path)
    calls = tmp_path / "calls"
    program(
        tmp_path / "bin", "systemctl", f'echo "systemctl $*" >>{calls}; case $1 in (restart) exit 1;; esac'
    )
    program(
        tmp_path / "bin", "systemd-run", f"echo systemd-run >>{calls}; [ $(grep -c -- -run {calls}) -gt 2 ]"
    )

    host.done(guard.arm(host.guard, Actor("alice", "laptop", "", "r1")))

    assert calls.read_text().splitlines() == [
        "systemctl stop stackctl-guard-mesh.timer",
        *["systemd-run"] * 3,
    ]


def test_a_guard_that_cannot_be_armed_again_lets_nothing_be_changed(tmp_path: Path) -> None:
    host = Host(tmp_path)
    program(tmp_path / "bin", "systemd-run", "echo no >&2; exit 1")

    [answer] = host.session.run([guard.arm(host.guard, Actor("alice", "laptop", "", "r1"))])

    assert (answer.status, answer.stderr) == (1, "no\n")
