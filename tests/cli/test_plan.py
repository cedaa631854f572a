"""`plan` and `apply` where hosts cannot be reached or the words are wrong; the lab's tests do the rest."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.engine.sshd import free_port, serving
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose only host listens nowhere."""
    environment = f"""hosts:
  edge: {{address: 127.0.0.1, roles: [gateway], ssh: {{user: root, port: {free_port()}}}}}
"""
    return project(tmp_path, environment).root


def test_a_plan_of_unreachable_hosts_fails_with_a_finding_for_each(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "plan", "test", cwd=folder)

    assert ended.code == 1
    assert ended.out == (
        "edge  cannot be planned, see below\nNothing to do on 0 hosts; 1 could not be planned.\n"
    )
    assert "connection refused" in ended.err
    assert "hint: check that the host is up and the address right" in ended.err


def test_a_plan_in_json_is_one_value_on_standard_output(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "plan", "test", "--json", cwd=folder)

    assert ended.code == 1
    assert json.loads(ended.out)["hosts"][0]["findings"][0]["where"] == "edge"
    assert ended.err == ""


def test_wrong_input_is_json_too_where_a_machine_reads(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "plan", "nosuch", "--json", cwd=folder)

    assert (ended.code, ended.err) == (2, "")
    assert json.loads(ended.out)["findings"][0]["what"].startswith("there is no environment")


def test_an_apply_that_nobody_can_confirm_touches_nothing(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "apply", "test", cwd=folder)

    assert ended.code == 2
    assert ended.err == (
        "apply  nobody is there to confirm the plan\n"
        "  hint: read it with `stackctl plan`, then pass `--yes`\n"
    )


def test_an_apply_of_unreachable_hosts_fails(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "apply", "test", "--yes", cwd=folder)

    assert ended.code == 1
    assert ended.err.count("connection refused") == 1


def test_a_limit_to_hosts_that_are_not_there_names_all_of_them(capsys: Capsys, folder: Path) -> None:
    ended = stackctl(capsys, "plan", "test", "--limit", "gpu7,edge,gpu8", cwd=folder)

    assert ended.code == 2
    assert ended.err == (
        "--limit  `gpu7` is not a host of test\n"
        "  hint: there are: edge\n"
        "--limit  `gpu8` is not a host of test\n"
        "  hint: there are: edge\n"
        "2 errors.\n"
    )


def test_asking_a_gateway_that_is_not_there_says_where_to_look(capsys: Capsys, tmp_path: Path) -> None:
    environment = f"""gateway: {{port: {free_port()}}}
hosts:
  edge: {{address: 127.0.0.1, roles: [gateway]}}
"""
    ended = stackctl(capsys, "ask", "test", "chat", "hello", cwd=project(tmp_path, environment).root)

    assert ended.code == 1
    assert "no answer: " in ended.err
    assert "`systemctl status haproxy` on edge" in ended.err


def test_new_keys_of_a_jump_host_and_of_the_host_behind_it_are_accepted_in_one_run(
    capsys: Capsys, tmp_path: Path
) -> None:
    with serving(tmp_path / "hop") as hop, serving(tmp_path / "host") as host:
        shutil.copy(hop.folder / "user.pub", host.folder / "authorized_keys")
        ssh = (
            f"{{user: root, port: {host.port}, jump: ['root@127.0.0.1:{hop.port}'],"
            f" identity: {hop.folder}/user}}"
        )
        hosts = f"hosts:\n  edge: {{address: 127.0.0.1, os: ubuntu-22.04, roles: [gateway], ssh: {ssh}}}\n"
        root = project(tmp_path, hosts).root

        assert "is not known" in stackctl(capsys, "plan", "test", cwd=root).err
        ended = stackctl(capsys, "plan", "test", "--accept-new-host-keys", cwd=root)

    assert "is not known" not in ended.err
    assert (root / "inventory/known_hosts").read_text() == hop.known_hosts_line + host.known_hosts_line
