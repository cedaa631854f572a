"""Holds: what apt is told to leave, and that our own installs get through them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from stackctl.engine.run import Run
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

LISTED = "a install installed 1\nb hold installed 1\nc install config-files 1\n"


def having(tmp_path: Path, names: Sequence[str], *, hold: bool = True) -> Run:
    """A host whose dpkg remembers what apt-mark said."""
    bin_ = tmp_path / "bin"
    state = tmp_path / "dpkg"
    state.write_text(LISTED)
    program(bin_, "dpkg-query", f"cat {state}")
    program(bin_, "apt-cache", "true")
    program(
        bin_,
        "apt-mark",
        f"""[ -e {tmp_path}/locked ] && {{ rm {tmp_path}/locked; echo 'E: Could not get lock /var/lib/dpkg/lock-frontend' >&2; exit 100; }}
        case $1 in hold) to=hold;; *) to=install;; esac
        shift; for p; do sed -i "s/^$p [a-z]* /$p $to /" {state}; done""",
    )
    body = f"hold.held(name='hold the driver', names=spec, hold={hold})"
    return one_host(tmp_path / "d", body, spec=names, session=lambda _: LocalSession(bin_))


@pytest.mark.parametrize(
    ("hold", "reasons", "after"),
    [
        (True, ["hold a"], "a hold installed 1\nb hold installed 1\nc install config-files 1\n"),
        (False, ["let go of b"], "a install installed 1\nb install installed 1\nc install config-files 1\n"),
    ],
)
def test_only_what_is_installed_and_stands_otherwise_is_marked(
    tmp_path: Path, *, hold: bool, reasons: list[str], after: str
) -> None:
    run = having(tmp_path, ["a", "b"], hold=hold)
    plan = run.plan()
    assert [change.reason for change in plan.hosts[0].changes] == reasons

    outcome = run.apply(plan).hosts[0]

    assert (outcome.findings, outcome.left) == ((), ())
    assert (tmp_path / "dpkg").read_text() == after


def test_a_package_that_is_not_there_is_held_only_once_it_is(tmp_path: Path) -> None:
    run = having(tmp_path, ["b", "c"])
    plan = run.plan()
    assert [change.reason for change in plan.hosts[0].changes] == ["hold c"]

    (left,) = run.apply(plan).hosts[0].left

    assert left.reason == "hold c"
    assert (tmp_path / "dpkg").read_text() == LISTED


def test_a_package_that_is_not_there_need_not_be_let_go(tmp_path: Path) -> None:
    assert having(tmp_path, ["c", "d"], hold=False).plan().hosts[0].changes == ()


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    run = having(tmp_path, ["a"])
    (tmp_path / "locked").touch()

    assert run.apply(run.plan()).hosts[0].findings == ()


def test_holds_are_seen(tmp_path: Path) -> None:
    assert seen(having(tmp_path, ["a", "b", "d"])) == {
        "hold a": {"held": "no"},
        "hold b": {"held": "yes"},
        "hold d": {},
    }
