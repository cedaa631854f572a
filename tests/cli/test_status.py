"""`stackctl status` against a real sshd, and against nobody."""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.engine.sshd import Sshd, serving
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def folder_of(tmp_path: Path, sshd: Sshd) -> Path:
    """A project with this machine as a host, and one that nobody answers for."""
    user = f"user: {getpass.getuser()}, identity: {sshd.folder}/user"
    uplinks = "wan: {uplinks: [{name: fibre, interface: wan1}, {name: lte, interface: wan2}]}"
    environment = (
        "hosts:\n"
        f"  edge: {{address: 127.0.0.1, ssh: {{{user}, port: {sshd.port}}}}}\n"
        f"  gpu1: {{address: 127.0.0.2, ssh: {{{user}, address: 127.0.0.1, port: 1}}}}\n"
        f"  gpu2: {{address: 127.0.0.3, ssh: {{{user}, address: 127.0.0.1, port: {sshd.port}}}, {uplinks}}}\n"
    )
    root = project(tmp_path, environment).root
    (root / "inventory/known_hosts").write_text(sshd.known_hosts_line)
    return root


def test_a_host_that_answers_is_well_and_one_that_does_not_is_told(
    capsys: Capsys, tmp_path: Path, sshd: Sshd
) -> None:
    root = folder_of(tmp_path, sshd)

    one = stackctl(capsys, "status", "test", "edge", cwd=root)
    done = stackctl(capsys, "status", "test", cwd=root)

    assert (one.code, one.out.splitlines()[-1]) == (0, "1 host, all well.")
    assert done.code == 1
    assert "\ngpu1  not reached\n" in done.out
    assert "\n  wan   no answer from the agent\n" in done.out
    assert "gpu1  " in done.err
    assert (
        "gpu2 · wan  there is no agent on the host yet\n  hint: run `stackctl apply test --limit gpu2`\n"
    ) in done.err


def test_a_machine_gets_all_of_it_in_one_value(capsys: Capsys, tmp_path: Path, sshd: Sshd) -> None:
    done = stackctl(capsys, "status", "test", "gpu1", "edge", "--json", cwd=folder_of(tmp_path, sshd))

    told = json.loads(done.out)
    assert (done.code, done.err, told["well"]) == (1, "", False)
    assert [(host["host"], host["reached"]) for host in told["hosts"]] == [("edge", True), ("gpu1", False)]


def test_a_host_that_is_not_there_is_told(capsys: Capsys, tmp_path: Path, sshd: Sshd) -> None:
    done = stackctl(capsys, "status", "test", "gpu9", cwd=folder_of(tmp_path, sshd))

    assert (done.code, done.err) == (
        2,
        "HOST  `gpu9` is not a host of test\n  hint: there are: edge, gpu1, gpu2\n",
    )


def test_an_order_to_a_host_without_an_agent_fails_with_a_way_out(
    capsys: Capsys, tmp_path: Path, sshd: Sshd
) -> None:
    root = folder_of(tmp_path, sshd)
    hint = "gpu2 · wan  there is no agent on the host yet\n  hint: run `stackctl apply test --limit gpu2`\n"

    for words in (("switch", "gpu2", "lte"), ("status", "gpu2"), ("test", "gpu2", "lte")):
        done = stackctl(capsys, "wan", *words, cwd=root)
        assert (done.code, done.out, done.err) == (1, "", hint)
