"""One operator at a time on a host."""

import json
from functools import partial
from pathlib import Path

from stackctl.engine import lock
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer, Command
from tests.engine.local import LocalSession

ALICE = Actor("alice", "laptop", "", "run-1")
BOB = Actor("bob", "ci", "", "run-2")
take = partial(lock.take, when="2026-11-24 06:12:01 UTC")


def quick(actor: Actor, *, break_it: bool = False) -> Command:
    """Take the lock, or give up after a second."""
    command = take(actor, break_it=break_it)
    return Command(command.script.replace(f"-w {lock.PATIENCE_SECONDS}", "-w 1"), 30, own_shell=True)


def test_a_free_lock_is_taken_and_names_its_holder(tmp_path: Path) -> None:
    host = LocalSession(state=tmp_path)

    (answer,) = host.run([take(ALICE, break_it=False)])

    assert lock.refused("gpu1", answer) is None
    assert json.loads((tmp_path / "run/lock").read_text()) == {
        "who": "alice",
        "from": "laptop",
        "since": "2026-11-24 06:12:01 UTC",
        "run": "run-1",
    }
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_a_held_lock_is_refused_with_its_holder_and_the_flag_that_breaks_it(tmp_path: Path) -> None:
    first, second = LocalSession(state=tmp_path), LocalSession(state=tmp_path)
    first.run([take(ALICE, break_it=False)])

    finding = lock.refused("gpu1", second.run([quick(BOB)])[0])

    assert finding is not None
    assert finding.what == "alice from laptop since 2026-11-24 06:12:01 UTC is at work on this host"
    assert "`--break-lock`" in (finding.hint or "")


def test_a_lock_goes_with_the_shell_that_held_it_once_its_step_has_ended(tmp_path: Path) -> None:
    first, second = LocalSession(state=tmp_path), LocalSession(state=tmp_path)
    first.run([take(ALICE, break_it=False)])
    first.close()

    assert lock.refused("gpu1", second.run([take(BOB, break_it=False)])[0]) is None


def test_who_breaks_a_lock_has_it_and_the_former_holder_notices(tmp_path: Path) -> None:
    first, second = LocalSession(state=tmp_path), LocalSession(state=tmp_path)
    first.run([take(ALICE, break_it=False)])
    assert first.run([lock.STILL_OURS])[0].status == 0

    assert lock.refused("gpu1", second.run([take(BOB, break_it=True)])[0]) is None

    assert first.run([lock.STILL_OURS])[0].status != 0
    assert second.run([lock.STILL_OURS])[0].status == 0


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    first, second = LocalSession(state=tmp_path), LocalSession(state=tmp_path)
    first.run([take(ALICE, break_it=False)])
    assert first.run([lock.RELEASE])[0].status == 0

    assert lock.refused("gpu1", second.run([quick(BOB)])[0]) is None


def test_a_step_that_leaves_a_daemon_behind_does_not_leave_the_lock_with_it(tmp_path: Path) -> None:
    first, second = LocalSession(state=tmp_path), LocalSession(state=tmp_path)
    leave = Command("setsid sleep 30 >/dev/null 2>&1 & echo $!", 10)
    _, left = first.run([take(ALICE, break_it=False), leave])
    first.close()

    answer = second.run([quick(BOB)])[0]
    second.run([Command(f"kill {left.stdout.strip()}", 10)])

    assert lock.refused("gpu1", answer) is None


def test_a_host_where_the_lock_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")

    finding = lock.refused("gpu1", LocalSession(state=tmp_path).run([take(ALICE, break_it=False)])[0])

    assert finding is not None
    assert finding.what == "the lock cannot be taken"
    assert "File exists" in " ".join(finding.detail)


def test_a_lock_file_that_says_nothing_is_somebodys() -> None:
    finding = lock.refused("gpu1", Answer(75, "", ""))

    assert finding is not None
    assert finding.what == "somebody is at work on this host"
