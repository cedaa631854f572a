"""`stackctl diff` in real repositories; tests/scenarios shows what it prints of many changes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.inventory import CATALOGUE, HOSTS, project
from tests.repository import committed

Capsys = pytest.CaptureFixture[str]
PLACED = HOSTS + "placements: {chat: [{host: gpu1, devices: [cpu]}]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A committed project with one model on one of two hosts."""
    root = project(tmp_path, PLACED).root
    committed(root)
    return root


def write(folder: Path, environment: str, catalogue: str = CATALOGUE) -> None:
    (folder / "inventory/test.yaml").write_text(f"environment: test\n{environment}")
    (folder / "inventory/models.yaml").write_text(catalogue)


def test_nothing_changed_is_said_in_two_words(capsys: Capsys, folder: Path) -> None:
    assert stackctl(capsys, "diff", "test", "--exit-code", cwd=folder) == (0, "No differences.\n", "")


def test_another_image_recreates_the_container(capsys: Capsys, folder: Path) -> None:
    write(folder, PLACED, CATALOGUE.replace("v0.33.0", "v0.34.0"))

    ended = stackctl(capsys, "diff", "test", cwd=folder)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[:3] == [
        "gpu1",
        "  ~ serving  container chat  recreated: up to 30 min without service",
        "      image vllm/vllm-openai:v0.33.0 → vllm/vllm-openai:v0.34.0",
    ]


def test_differences_are_an_exit_code_where_it_is_asked_for(capsys: Capsys, folder: Path) -> None:
    write(folder, HOSTS)

    assert stackctl(capsys, "diff", "test", cwd=folder).code == 0
    assert stackctl(capsys, "diff", "test", "--exit-code", cwd=folder).code == 3


def test_an_older_revision_can_be_named(capsys: Capsys, folder: Path) -> None:
    write(folder, HOSTS)
    committed(folder)

    assert stackctl(capsys, "diff", "test", cwd=folder).out == "No differences.\n"
    ended = stackctl(capsys, "diff", "test", "--against", "HEAD~1", cwd=folder)
    assert ended.out.endswith(
        "! chat is served no more: it is placed nowhere\n"
        "test against HEAD~1: 2 hosts changed; 1 container removed; 5 files.\n"
    )


def test_a_projects_own_templates_are_those_of_the_revision(capsys: Capsys, folder: Path) -> None:
    template = folder / "templates/system/sysctl.conf.j2"
    template.parent.mkdir(parents=True)
    template.write_text("# Owned by stackctl\n")
    committed(folder)
    template.write_text("# Owned by stackctl, and mended\n")

    assert "-# Owned by stackctl\n      +# Owned by stackctl, and mended\n" in (
        stackctl(capsys, "diff", "test", cwd=folder).out
    )


def test_a_deploy_of_the_projects_own_that_changed_is_named(capsys: Capsys, folder: Path) -> None:
    (folder / "deploys").mkdir()
    (folder / "deploys/system.py").write_text("one\n")
    (folder / "deploys/docker.py").write_text("")
    committed(folder)
    (folder / "deploys/system.py").write_text("two\n")
    (folder / "deploys/docker.py").unlink()

    assert stackctl(capsys, "diff", "test", cwd=folder).out == (
        "deploys  an apply takes other steps, `stackctl plan` shows which\n"
        "  ~ deploys/system.py  lines: 1 added, 1 removed\n"
        "      @@ -1 +1 @@\n"
        "      -one\n"
        "      +two\n"
        "  - deploys/docker.py  gone, the stock one is used\n"
        "test against HEAD: 2 deploys.\n"
    )


def test_of_an_environment_that_was_not_there_everything_is_new(capsys: Capsys, folder: Path) -> None:
    (folder / "inventory/other.yaml").write_text(f"environment: other\n{HOSTS}")

    ended = stackctl(capsys, "diff", "other", "--json", cwd=folder)

    hosts = json.loads(ended.out)["hosts"]
    files = [file for host in hosts for part in host["parts"] for file in part["files"]]
    assert [(host["host"], host["action"]) for host in hosts] == [
        ("edge", "add"),
        ("gpu1", "add"),
        ("gpu2", "add"),
    ]
    assert {file["reason"] for file in files} == {"new"}


def test_of_an_environment_that_was_taken_away_every_host_goes(capsys: Capsys, folder: Path) -> None:
    (folder / "inventory/test.yaml").unlink()

    lines = stackctl(capsys, "diff", "test", cwd=folder).out.splitlines()

    assert lines[0] == "edge, gpu1, gpu2  no longer in the inventory"
    assert lines[-1] == "test against HEAD: 3 hosts removed; 18 files."
    assert not [line for line in lines if line.startswith("!")]  # nobody can apply what is not there


def test_an_environment_that_never_was_is_wrong_input(capsys: Capsys, folder: Path) -> None:
    assert stackctl(capsys, "diff", "tset", cwd=folder) == (
        2,
        "",
        "inventory/tset.yaml  there is no environment `tset`\n  hint: did you mean `test`?\n",
    )


def test_what_is_wrong_on_either_side_is_told_at_once(capsys: Capsys, folder: Path) -> None:
    write(folder, "hosts: {a: {adress: 10.0.0.1}}\n")
    committed(folder)
    write(folder, "hosts: {a: {address: 10.0.0.1, rols: []}}\n")

    ended = stackctl(capsys, "diff", "test", cwd=folder)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "HEAD:inventory/test.yaml:2  `hosts.a.adress` is not a setting\n"
        "  hint: did you mean `address`?\n"
        "inventory/test.yaml:2  `hosts.a.rols` is not a setting\n"
        "  hint: did you mean `roles`?\n"
        "2 errors.\n"
    )


def test_an_inventory_that_lies_outside_the_project_is_not_taken_for_a_new_one(
    capsys: Capsys, folder: Path
) -> None:
    (folder / "inventory").rename(folder / "elsewhere")
    (folder / "inventory").symlink_to("elsewhere")
    committed(folder)

    assert stackctl(capsys, "diff", "test", cwd=folder).err.startswith(
        "HEAD:inventory  cannot be read: no such file or directory\n"
    )


def test_a_revision_that_git_does_not_know_is_wrong_input(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "diff", "test", "--against", "nosuch", cwd=folder)

    assert ended.code == 2
    assert ended.err == (
        "--against  `nosuch` names no commit of this repository\n"
        "    fatal: Needed a single revision\n"
        "  hint: name a branch, tag or commit; what a shallow clone lacks is there after `git fetch`\n"
    )


def test_markdown_begins_with_the_totals(capsys: Capsys, folder: Path) -> None:
    write(folder, HOSTS)

    assert stackctl(capsys, "diff", "test", "--markdown", cwd=folder).out.startswith(
        "**test against `HEAD`: 2 hosts changed; 1 container removed; 5 files.**\n\n"
    )


def test_two_formats_at_once_are_refused(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "diff", "test", "--json", "--markdown", cwd=folder)

    assert ended.code == 2
    assert json.loads(ended.out)["findings"][0]["what"] == "`--json` and `--markdown` are both given"


def test_it_imports_nothing_that_reaches_hosts(folder: Path) -> None:
    program = (
        f"import sys; sys.argv = ['stackctl', 'diff', 'test', '--project', {str(folder)!r}]\n"
        "try:\n  import stackctl.__main__\n"
        "except SystemExit: sys.exit(repr([name for name in ('pyinfra', 'gevent', 'paramiko') if name in sys.modules]))"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ended.stdout, ended.stderr.strip()) == ("No differences.\n", "[]")
