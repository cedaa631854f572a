"""A guarded change that takes the connection along in the middle."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from stackctl.core.connection import Connection
from stackctl.core.finding import FailureError, Finding
from stackctl.engine import guard
from stackctl.engine.batch import Answer, Command
from stackctl.engine.channel import LostError
from stackctl.engine.run import Run
from stackctl.engine.session import Session
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
