"""Packages: their versions in the plan, patience with locks, and words for what cannot be had."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from stackctl.core.finding import Finding
from stackctl.engine.run import Run
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

LOCKED = "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)' >&2; exit 100"


def install(tmp_path: Path, apt_get: str, lock_seconds: int = 4) -> tuple[Finding, ...]:
    """What comes of installing `jq` where `apt-get` behaves so and dpkg knows what `installed` says."""
    bin_ = tmp_path / "bin"
    program(bin_, "dpkg-query", f"[ -e {tmp_path}/installed ] && echo 'jq install installed 1.7'; true")
    program(bin_, "dpkg", "true")
    program(bin_, "apt-cache", "true")
    program(
        bin_, "apt-get", f'echo "$@" >>{tmp_path}/calls\ncase "$*" in *--simulate*) exit 1;; esac\n{apt_get}'
    )
    body = f"apt.packages(name='install jq', names=['jq'], lock_seconds={lock_seconds})"
    run = one_host(tmp_path / "d", body, session=lambda _: LocalSession(bin_))
    outcome = run.apply(run.plan()).hosts[0]
    return (*outcome.findings, *(Finding("left", change.reason) for change in outcome.left))


def test_stale_lists_are_refreshed_before_the_install(tmp_path: Path) -> None:
    findings = install(tmp_path, f'case "$*" in *install*) touch {tmp_path}/installed;; esac')

    assert findings == ()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [
        call.split()[-1] if "update" not in call else "update" for call in calls if "--simulate" not in call
    ] == [
        "update",
        "jq",
    ]


def test_a_lock_that_is_given_back_in_time_is_waited_for(tmp_path: Path) -> None:
    script = f"""
    case "$*" in *install*) step=install;; *) step=update;; esac
    [ -e {tmp_path}/$step-tried ] || {{ touch {tmp_path}/$step-tried; {LOCKED}; }}
    [ $step = update ] || touch {tmp_path}/installed
    """

    assert install(tmp_path, script) == ()


def test_a_lock_that_is_kept_is_a_finding_that_names_its_holder(tmp_path: Path) -> None:
    (finding,) = install(tmp_path, LOCKED, lock_seconds=2)

    assert finding.where == "gpu1 · demo · install jq"
    assert finding.what == "another process (4711 (unattended-upgr)) has kept apt locked for too long"
    assert finding.hint == "wait until it has ended, or end it on the host, then apply again"


def test_a_package_that_does_not_exist_is_named(tmp_path: Path) -> None:
    script = "case \"$*\" in *install*) echo 'E: Unable to locate package jq' >&2; exit 100;; esac"

    (finding,) = install(tmp_path, script)

    assert finding.what == "there is no package `jq` in the host's sources"


def test_a_full_disk_is_called_that(tmp_path: Path) -> None:
    script = "case \"$*\" in *install*) echo 'dpkg: error: No space left on device' >&2; exit 100;; esac"

    (finding,) = install(tmp_path, script)

    assert finding.what == "the disk is full"


CURL = "curl:\n  Installed: (none)\n  Candidate: 8.14.1-2\n  Version table:\n     8.14.1-2 500\n"
VIRTUAL = "mail-transport-agent:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"


def having(tmp_path: Path, names: Sequence[str], *, dpkg: str, policy: str = CURL) -> Run:
    """A host that shall have `names`, whose dpkg and sources say so."""
    bin_ = tmp_path / "bin"
    (tmp_path / "dpkg").write_text(dpkg)
    (tmp_path / "policy").write_text(policy)
    program(bin_, "dpkg-query", f"cat {tmp_path}/dpkg")
    program(bin_, "dpkg", "true")
    program(bin_, "apt-cache", f"cat {tmp_path}/policy")
    program(
        bin_,
        "apt-get",
        f'echo "apt-get $*" >>{tmp_path}/calls\ncase "$*" in *--simulate*) ;; install*) [ ! -e {tmp_path}/broken ] || exit 100;; esac',
    )
    program(bin_, "apt-mark", f'echo "apt-mark $*" >>{tmp_path}/calls')
    body = "apt.packages(name='install', names=spec)"
    return one_host(tmp_path / "d", body, spec=names, session=lambda _: LocalSession(bin_))


@pytest.mark.parametrize(
    ("names", "dpkg", "reason"),
    [
        (["curl"], "", "install curl 8.14.1-2"),
        (["curl"], "curl deinstall config-files 8.13.0-1\n", "install curl 8.14.1-2"),
        (["curl"], "curl install installed 8.13.0-1\n", None),
        (["nvtop"], "", "install nvtop, at the version the sources give"),
        (["mail-transport-agent"], "", "install mail-transport-agent, at the version the sources give"),
        (["curl", "nvtop"], "", "install curl 8.14.1-2; install nvtop, at the version the sources give"),
        (["curl=8.12.0-1"], "", "install curl 8.12.0-1"),
        (["curl=8.14.1-2"], "curl install installed 8.13.0-1\n", "curl 8.13.0-1 becomes 8.14.1-2"),
        (["curl=8.14.1-2"], "curl install installed 8.14.1-2\n", None),
        (["curl=8.14.1-2"], "curl hold installed 8.13.0-1\n", "curl 8.13.0-1 becomes 8.14.1-2, though held"),
        (["curl", "curl=8.14.1-2"], "curl hold installed 8.14.1-2\n", None),
        (["e", "d", "c", "b", "a"], "", "install a, b, c and 2 more, at the version the sources give"),
    ],
)
def test_a_plan_names_the_versions_that_packages_have_and_get(
    tmp_path: Path, names: Sequence[str], dpkg: str, reason: str | None
) -> None:
    changes = having(tmp_path, names, dpkg=dpkg, policy=CURL + VIRTUAL).plan().hosts[0].changes

    assert [change.reason for change in changes] == ([reason] if reason else [])


def test_the_sources_are_asked_only_about_what_is_missing(tmp_path: Path) -> None:
    run = having(tmp_path, ["curl", "jq", "jqp"], dpkg="jqp install installed 1\n")
    program(tmp_path / "bin", "apt-cache", f'echo "$*" >>{tmp_path}/asked')

    run.plan()

    assert (tmp_path / "asked").read_text() == "policy curl jq\n"


@pytest.mark.parametrize("broken", [False, True])
def test_a_held_package_is_let_go_for_the_move_to_its_pinned_version_alone(
    tmp_path: Path, *, broken: bool
) -> None:
    run = having(tmp_path, ["curl=8.12.0-1", "jq"], dpkg="curl hold installed 8.14.1-2\n")
    plan = run.plan()
    if broken:
        (tmp_path / "broken").touch()

    outcome = run.apply(plan).hosts[0]

    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[-3] == "apt-mark unhold curl"
    assert calls[-2].startswith("apt-get install -q -y --no-install-recommends --allow-downgrades -o ")
    assert calls[-2].endswith(" curl=8.12.0-1 jq")
    assert calls[-1] == "apt-mark hold curl"
    assert [finding.what for finding in outcome.findings] == ["failed with exit status 100"] * broken


def test_a_package_that_is_held_away_is_let_in_at_its_pinned_version(tmp_path: Path) -> None:
    run = having(tmp_path, ["curl=8.14.1-2"], dpkg="curl hold config-files 8.13.0-1\n")

    assert "apt-mark unhold curl" in run.plan().hosts[0].changes[0].commands[0]


def test_without_a_pin_nothing_may_become_older(tmp_path: Path) -> None:
    run = having(tmp_path, ["jq"], dpkg="")

    assert "--allow-downgrades" not in run.plan().hosts[0].changes[0].commands[0]


def test_two_pins_of_one_package_are_a_finding(tmp_path: Path) -> None:
    (finding,) = having(tmp_path, ["curl=1", "curl=2"], dpkg="").plan().findings

    assert finding.what == "package curl: is pinned to 1 and to 2"


def test_packages_are_seen_with_their_versions(tmp_path: Path) -> None:
    run = having(tmp_path, ["curl", "jq=1.6"], dpkg="jq install installed 1.7\n")

    assert seen(run) == {"package curl": {}, "package jq": {"version": "1.7"}}
