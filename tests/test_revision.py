from contextlib import suppress
from pathlib import Path

import pytest

from stackctl.core.finding import FailureError, FindingsError
from stackctl.project import Project
from stackctl.revision import at_revision
from tests.repository import committed, git


@pytest.fixture
def found(tmp_path: Path) -> Project:
    """A project below the top of its repository."""
    inventory = tmp_path / "repository/stack/inventory"
    inventory.mkdir(parents=True)
    (inventory / "prod.yaml").write_text("old\n")
    return Project(inventory.parent)


def test_files_are_as_they_were_committed(found: Project) -> None:
    committed(found.root.parent)
    (found.root / "inventory/prod.yaml").write_text("new\n")

    with at_revision(found, "HEAD") as then:
        assert (then.root / "inventory/prod.yaml").read_text() == "old\n"


def test_only_what_says_what_hosts_become_is_written(found: Project) -> None:
    for name in ("templates/gateway/unit.conf.j2", "deploys/serving.py", "notes/todo.txt"):
        (found.root / name).parent.mkdir(parents=True)
        (found.root / name).write_text("")
    committed(found.root.parent)

    with at_revision(found, "main") as then:
        assert sorted(path.name for path in then.root.iterdir()) == ["deploys", "inventory", "templates"]


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_private_directory_is_gone_however_the_block_ends(
    found: Project, error: type[BaseException] | None
) -> None:
    committed(found.root.parent)
    there: list[Path] = []

    with suppress(ValueError, KeyboardInterrupt), at_revision(found, "HEAD") as then:
        there += [then.root, then.root.parents[1]]
        assert all(folder.exists() for folder in there)
        if error is not None:
            raise error
    assert there
    assert not any(folder.exists() for folder in there)


def test_nobody_else_may_read_the_directory(found: Project) -> None:
    committed(found.root.parent)

    with at_revision(found, "HEAD") as then:
        assert then.root.parents[1].stat().st_mode & 0o777 == 0o700


def test_the_repository_and_its_index_stay_as_they_are(found: Project) -> None:
    committed(found.root.parent)
    (found.root / "inventory/staged.yaml").write_text("")
    git(found.root, "add", "-A")
    (found.root / "inventory/untracked.yaml").write_text("")
    before = git(found.root, "status", "--porcelain")

    with at_revision(found, "HEAD"):
        pass

    assert git(found.root, "status", "--porcelain") == before


def test_what_git_says_to_a_hook_does_not_lead_astray(
    found: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(found.root.parent)
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")

    with at_revision(found, "HEAD") as then:
        assert (then.root / "inventory/prod.yaml").read_text() == "old\n"


def test_a_project_that_came_later_was_empty(found: Project) -> None:
    (found.root / "inventory/prod.yaml").rename(found.root.parent / "README.md")
    committed(found.root.parent)

    with at_revision(found, "HEAD") as then:
        assert not (then.root / "inventory").exists()


@pytest.mark.parametrize("revision", ["nosuch", "--output=x", "HEAD..HEAD", "HEAD:stack", ""])
def test_what_names_no_commit_is_told_in_gits_own_words(found: Project, revision: str) -> None:
    committed(found.root.parent)

    with pytest.raises(FindingsError) as told, at_revision(found, revision):
        pass
    (finding,) = told.value.findings
    assert (finding.where, finding.what) == ("--against", f"`{revision}` names no commit of this repository")
    assert finding.detail[-1].startswith(("fatal: ", "error: "))


def test_a_folder_outside_any_repository_is_told(found: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(found.root.parent))

    with pytest.raises(FindingsError) as told, at_revision(found, "HEAD"):
        pass
    assert told.value.exit_code == 2
    (finding,) = told.value.findings
    assert (finding.where, finding.what) == (str(found.root), "git finds no repository to read here")
    assert finding.detail[0].startswith("fatal: not a git repository")


def test_a_damaged_repository_is_a_failure_and_no_wrong_input(found: Project) -> None:
    committed(found.root.parent)
    blob = git(found.root, "rev-parse", "HEAD:stack/inventory/prod.yaml").strip()
    (found.root.parent / ".git/objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(FailureError, match="cannot write the files of `HEAD`"), at_revision(found, "HEAD"):
        pass


def test_a_machine_without_git_is_told_so(
    found: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(FailureError, match="git: is not installed"), at_revision(found, "HEAD"):
        pass
