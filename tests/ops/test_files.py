"""Files appear whole, together and with their final mode, or not at all."""

import os
from pathlib import Path

import pytest

from stackctl.core.artifact import Artifact
from stackctl.core.secret import SecretRef
from stackctl.ops import age
from stackctl.views.plan import plan_json, plan_text
from tests.engine.fleet import one_host
from tests.ops.seen import seen

WRITE = "files.write(name='write the files', artifacts=files_, check=spec or ())"


def owned(path: Path, content: str, mode: int = 0o644, *secrets: SecretRef) -> Artifact:
    return Artifact(str(path), content, "root", "root", mode, secrets)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_batch_with_one_impossible_file_changes_none(tmp_path: Path) -> None:
    (tmp_path / "etc/taken").mkdir(parents=True)
    (tmp_path / "etc/a").write_text("old")
    run = one_host(
        tmp_path / "d", WRITE, owned(tmp_path / "etc/a", "new"), owned(tmp_path / "etc/taken", "x")
    )

    finding = run.apply(run.plan()).hosts[0].findings[0]

    assert finding.detail == (f"{tmp_path}/etc/taken is a directory",)
    assert contents(tmp_path / "etc") == {"a": "old"}


def test_files_that_their_own_program_refuses_never_replace_the_old_ones(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    conf = tmp_path / "etc/app.conf"
    conf.write_text("good\n")
    check = ["grep", "-q", "good", str(conf)]

    run = one_host(tmp_path / "bad", WRITE, owned(conf, "nonsense\n"), spec=check)
    assert run.apply(run.plan()).hosts[0].findings[0].what == "failed with exit status 66"
    assert contents(tmp_path / "etc") == {"app.conf": "good\n"}

    run = one_host(tmp_path / "fine", WRITE, owned(conf, "good too\n"), spec=check)
    assert not run.apply(run.plan()).failed
    assert contents(tmp_path / "etc") == {"app.conf": "good too\n"}


def test_a_file_that_replaces_a_readable_one_is_never_readable_with_the_new_content(tmp_path: Path) -> None:
    conf = tmp_path / "secret.env"
    conf.write_text("old\n")
    spy = tmp_path / "seen"
    # The check runs between staging and renaming: the moment at which a careless copy would be readable.
    check = ["sh", "-c", f'stat -c %a "$1" >{spy}; stat -c %a {conf} >>{spy}', "spy", str(conf)]
    run = one_host(tmp_path / "d", WRITE, owned(conf, "TOKEN=x\n", 0o600), spec=check)

    assert not run.apply(run.plan()).failed

    assert spy.read_text().split() == ["600", "644"]
    assert conf.stat().st_mode & 0o777 == 0o600


def test_a_secret_reaches_the_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKCTL_TEST_TOKEN", "hunter2-hunter2")
    ref = SecretRef.parse("env:STACKCTL_TEST_TOKEN")
    conf = tmp_path / "token.env"
    run = one_host(tmp_path / "d", WRITE, owned(conf, f"TOKEN={ref.placeholder}\n", 0o600, ref))

    plan = run.plan()
    outcome = run.apply(plan)

    assert conf.read_text() == "TOKEN=hunter2-hunter2\n"
    assert "hunter2" not in plan_text(plan) + plan_json(plan) + repr(outcome)
    assert run.plan().changes == 0


def test_a_secret_kept_beside_the_inventory_reaches_the_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKCTL_AGE_IDENTITY", str(tmp_path / "age.key"))
    age.put(tmp_path / "secrets.age", "token", "hunter3-hunter3")
    ref = SecretRef.parse("age:token", str(tmp_path / "secrets.age"))
    conf = tmp_path / "token.env"
    run = one_host(tmp_path / "d", WRITE, owned(conf, f"TOKEN={ref.placeholder}\n", 0o600, ref))

    plan = run.plan()
    outcome = run.apply(plan)

    assert conf.read_text() == "TOKEN=hunter3-hunter3\n"
    assert "hunter3" not in plan_text(plan) + plan_json(plan) + repr(outcome)
    assert run.plan().changes == 0


@pytest.mark.parametrize("printing", ["cat", "grep --color=always horse"])
def test_a_secret_that_a_program_prints_as_it_fails_is_blanked_out(
    printing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKCTL_TEST_PRINTED", "correct-horse")
    ref = SecretRef.parse("env:STACKCTL_TEST_PRINTED")
    conf = tmp_path / "token.env"
    check = ["sh", "-c", f'{printing} "$1"; exit 1', "check", str(conf)]
    run = one_host(tmp_path / "d", WRITE, owned(conf, f"TOKEN={ref.placeholder}\n", 0o600, ref), spec=check)

    finding = run.apply(run.plan()).hosts[0].findings[0]

    assert finding.detail == ("TOKEN=***",)


def test_a_changed_secret_is_planned_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKCTL_TEST_ROTATED", "new-value")
    ref = SecretRef.parse("env:STACKCTL_TEST_ROTATED")
    conf = tmp_path / "token.env"
    conf.write_text("TOKEN=old-value\n")
    conf.chmod(0o600)
    run = one_host(tmp_path / "d", WRITE, owned(conf, f"TOKEN={ref.placeholder}\n", 0o600, ref))

    text = plan_text(run.plan())

    assert "content differs, secret and not shown" in text
    assert "-value" not in text


def test_a_secret_that_is_missing_is_named(tmp_path: Path) -> None:
    ref = SecretRef.parse("env:STACKCTL_TEST_ABSENT")
    run = one_host(tmp_path / "d", WRITE, owned(tmp_path / "t", ref.placeholder, 0o600, ref))

    finding = run.plan().findings[0]

    assert finding.what == "secret env:STACKCTL_TEST_ABSENT: cannot be read: the variable is not set"
    assert finding.hint == "export STACKCTL_TEST_ABSENT and run again"


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (tmp_path / "conf").symlink_to(tmp_path / "other")
    run = one_host(tmp_path / "d", WRITE, owned(tmp_path / "conf", "ours\n"))

    plan = run.plan()
    run.apply(plan)

    assert plan.hosts[0].changes[0].files[0].reason == "is a link, becomes a file"
    assert not (tmp_path / "conf").is_symlink()
    assert (tmp_path / "other").read_text() == "theirs"


def test_what_a_killed_run_left_staged_is_cleared_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    left = tmp_path / "etc/.stackctl.0123456789"
    left.write_text("half")
    os.utime(left, (0, 0))
    run = one_host(tmp_path / "d", WRITE, owned(tmp_path / "etc/conf", "whole\n"))

    run.apply(run.plan())

    assert contents(tmp_path / "etc") == {"conf": "whole\n"}


def test_paths_with_spaces_and_stars_are_written_and_cleared_like_others(tmp_path: Path) -> None:
    folder = tmp_path / "my * etc"
    (folder / "taken").mkdir(parents=True)
    (tmp_path / "my").write_text("somebody's")
    good = owned(folder / "größe 'x'.conf", "größe\n")

    run = one_host(tmp_path / "bad", WRITE, good, owned(folder / "taken", "x"))
    assert run.apply(run.plan()).failed
    assert contents(folder) == {}
    assert contents(tmp_path) == {"my": "somebody's"}

    run = one_host(tmp_path / "fine", WRITE, good)
    assert not run.apply(run.plan()).failed
    assert contents(folder) == {"größe 'x'.conf": "größe\n"}


def test_a_file_of_a_user_without_a_name_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("x\n")
    os.chown(path, 54321, 54322)
    body = "files.block(name='list hosts', path=spec, marker='fleet', lines=['a'])"
    run = one_host(tmp_path / "d", body, spec=str(path))

    assert not run.apply(run.plan()).failed
    assert (path.stat().st_uid, path.stat().st_gid) == (54321, 54322)


def test_a_link_to_a_directory_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "data")
    body = "files.directories(name='make directories', paths=[spec + '/cache', spec + '/new'])"
    run = one_host(tmp_path / "d", body, spec=str(tmp_path))
    plan = run.plan()

    assert plan.hosts[0].changes[0].reason == f"make {tmp_path}/new"
    assert not run.apply(plan).failed


def test_directories_that_somebody_else_must_bring_are_all_named_when_missing(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    body = """files.present(name='check the weights', hint='copy them there',
        paths=[spec + '/here', spec + '/gone', spec + '/lost'])"""

    findings = one_host(tmp_path / "d", body, spec=str(tmp_path)).plan().findings

    assert [finding.what for finding in findings] == [
        f"{tmp_path}/gone: is not on the host, or is no directory",
        f"{tmp_path}/lost: is not on the host, or is no directory",
    ]
    assert findings[0].where == "gpu1 · demo · check the weights"


def test_files_are_seen_with_mode_owner_and_hash_and_secret_ones_with_their_time_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACKCTL_TEST_SEEN", "hunter2")
    ref = SecretRef.parse("env:STACKCTL_TEST_SEEN")
    plain, hidden = tmp_path / "conf", tmp_path / "token"
    plain.write_text("ours\n")
    hidden.write_text("hunter2")
    hidden.chmod(0o600)
    (tmp_path / "link").symlink_to(plain)
    artifacts = [
        owned(plain, "other\n"),
        owned(hidden, ref.placeholder, 0o600, ref),
        owned(tmp_path / "link", "x"),
        owned(tmp_path / "gone", "x"),
    ]

    seconds, rest = divmod(hidden.stat().st_ctime_ns, 10**9)
    assert seen(one_host(tmp_path / "d", WRITE, *artifacts)) == {
        f"file {plain}": {
            "mode": "644",
            "owner": "root:root",
            "sha256": "13102ad5e68a577a21dbe1aa6b16189e93e979278d6b9917d7f279a9a3dabd16",
        },
        f"file {hidden}": {"mode": "600", "owner": "root:root", "changed": f"{seconds}.{rest:09}0"},
        f"file {tmp_path}/link": {"kind": "link"},
        f"file {tmp_path}/gone": {},
    }


def test_directories_are_seen_whether_or_not_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    body = "files.directories(name='make directories', paths=[spec + '/here', spec + '/gone'])"

    assert seen(one_host(tmp_path / "d", body, spec=str(tmp_path))) == {
        f"directory {tmp_path}/here": {"kind": "directory"},
        f"directory {tmp_path}/gone": {},
    }
