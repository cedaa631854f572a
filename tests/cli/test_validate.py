import json
from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.inventory import HOSTS, project

Capsys = pytest.CaptureFixture[str]
PLACED = "placements: {chat: [{host: gpu1, devices: [cpu]}, {host: gpu2, devices: [cpu]}]}\n"


def test_a_valid_inventory_is_said_to_be_so(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS + PLACED).root

    assert stackctl(capsys, "validate", "test", cwd=root) == (
        0,
        "test is valid: 3 hosts, 1 model, 2 replicas\n",
        "",
    )


def test_without_a_name_all_environments_are_checked(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory/other.yaml").write_text("environment: other\nhosts: {a: {adress: 10.0.0.1}}\n")

    ended = stackctl(capsys, "validate", cwd=root)

    assert (ended.code, ended.out) == (2, "test is valid: 3 hosts, 0 models, 0 replicas\n")
    assert ended.err == (
        "inventory/other.yaml:2  `hosts.a.adress` is not a setting\n"
        "  hint: did you mean `address`?\n"
        "1 error.\n"
    )


def test_what_is_wrong_with_the_catalogue_is_said_once(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS, "models: {x: {server: vlm}}").root
    (root / "inventory/other.yaml").write_text(f"environment: other\n{HOSTS}")

    assert stackctl(capsys, "validate", cwd=root).err.endswith("did you mean `vllm`?\n1 error.\n")


def test_a_warning_is_shown_and_does_not_stand_in_the_way(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS + "profiles: {p: {}}\n").root

    ended = stackctl(capsys, "validate", cwd=root)

    assert ended.code == 0
    assert ended.err.startswith("inventory/test.yaml:6  warning: `profiles.p` is not used by any host\n")


def test_machines_get_json(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS + "gatway: {}\n").root

    ended = stackctl(capsys, "validate", "--json", cwd=root)

    assert (ended.code, ended.err) == (2, "")
    found = json.loads(ended.out)
    assert (found["valid"], found["environments"]) == (False, ["test"])
    assert found["findings"][0]["what"] == "`gatway` is not a setting"


def test_the_project_is_found_from_below_and_by_its_option(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root

    assert stackctl(capsys, "validate", cwd=root / "inventory").code == 0
    assert stackctl(capsys, "validate", "--project", str(root)).code == 0


def test_outside_a_project_the_way_in_is_shown(capsys: Capsys, tmp_path: Path) -> None:
    assert stackctl(capsys, "validate", cwd=tmp_path) == (
        2,
        "",
        (
            f"{tmp_path}  neither this directory nor one above it holds `inventory/`\n"
            "  hint: go to your project, or name it with `--project`\n"
        ),
    )


def test_a_project_without_environments_is_told_so(capsys: Capsys, tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()

    assert stackctl(capsys, "validate", cwd=tmp_path).err.startswith(
        f"{tmp_path}/inventory  there are no environments\n"
    )
