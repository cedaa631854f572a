from pathlib import Path

import pytest

from stackctl import project
from stackctl.core.finding import FindingsError
from stackctl.project import Project


def test_the_nearest_directory_upward_with_an_inventory_is_the_project(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "a/b").mkdir(parents=True)

    assert project.find(tmp_path / "a/b") == Project(tmp_path)


def test_a_directory_without_an_inventory_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(FindingsError, match="holds no `inventory/`"):
        project.at(tmp_path)


def test_a_projects_own_deploy_wins_over_the_stock_one(tmp_path: Path) -> None:
    (tmp_path / "deploys").mkdir()
    (tmp_path / "deploys/docker.py").write_text("")

    assert Project(tmp_path).deploy("docker") == tmp_path / "deploys/docker.py"
    assert Project(tmp_path).deploy("system") == project.stock("deploys") / "system.py"


def test_a_deploy_that_is_nowhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(FindingsError, match="there is no deploy `nowhere`"):
        Project(tmp_path).deploy("nowhere")
