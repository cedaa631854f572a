import json
from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.inventory import HOSTS, project

Capsys = pytest.CaptureFixture[str]


def test_files_are_printed_under_their_host_and_path(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root

    ended = stackctl(capsys, "render", "test", "--host", "gpu1", cwd=root)

    assert ended.code == 0
    assert [line for line in ended.out.splitlines() if line.startswith("==>")] == [
        "==> gpu1:/etc/sysctl.d/60-stackctl.conf (root:root 644)",
        "==> gpu1:/usr/lib/stackctl/drain.pl (root:root 644)",
        "==> gpu1:/etc/systemd/system/stackctl-drain.service (root:root 644)",
        "==> gpu1:/etc/stackctl/serving/compose.yaml (root:root 644)",
    ]


def test_files_are_written_below_a_directory(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root

    ended = stackctl(capsys, "render", "test", "--host", "gpu1", "--out", "out", cwd=root)

    assert (ended.code, ended.out, ended.err) == (0, "", "4 files of 1 host are in out\n")
    assert (root / "out/gpu1/etc/stackctl/serving/compose.yaml").read_text().startswith("# Owned by stackctl")


def test_machines_get_json(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root

    found = json.loads(stackctl(capsys, "render", "test", "--json", cwd=root).out)

    assert sorted(found["hosts"]) == ["edge", "gpu1", "gpu2"]
    assert found["hosts"]["gpu1"][0]["mode"] == "644"


def test_an_unknown_host_is_named_with_the_nearest(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root

    assert stackctl(capsys, "render", "test", "--host", "gpu3", cwd=root) == (
        2,
        "",
        "--host  `gpu3` is not a host of test\n  hint: did you mean `gpu2`?\n",
    )


def test_a_place_that_cannot_be_written_is_said(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "taken").write_text("")

    ended = stackctl(capsys, "render", "test", "--out", "taken", cwd=root)

    assert (ended.code, "cannot be written" in ended.err) == (2, True)
