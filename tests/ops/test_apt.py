"""Packages: patience with locks, and words for what cannot be had."""

from pathlib import Path

from stackctl.core.finding import Finding
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

LOCKED = "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)' >&2; exit 100"


def install(tmp_path: Path, apt_get: str, lock_seconds: int = 4) -> tuple[Finding, ...]:
    """What comes of installing `jq` where `apt-get` behaves so and dpkg knows what `installed` says."""
    bin_ = tmp_path / "bin"
    program(bin_, "dpkg-query", f"[ -e {tmp_path}/installed ] && echo 'jq installed 1.7'; true")
    program(bin_, "dpkg", "true")
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
