"""The files of an inventory themselves: which are there, which can be read, what the lock pins."""

import os
from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
from stackctl.schema.image import Demand
from stackctl.schema.load import environments, load
from tests.inventory import HOSTS, complaints, fleet, project


def test_an_unknown_environment_lists_those_that_exist(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root

    with pytest.raises(FindingsError, match="there is no environment `prod`") as caught:
        load(root, "prod")

    assert caught.value.findings[0].hint == "there is `test`"
    assert environments(root) == ("test",)


@pytest.mark.parametrize("name", ["test.yaml", "inventory/test.yaml", "tset"])
def test_an_environment_is_asked_for_by_its_name_alone(tmp_path: Path, name: str) -> None:
    root = project(tmp_path, HOSTS).root

    with pytest.raises(FindingsError) as caught:
        load(root, name)

    assert caught.value.findings[0].hint == "did you mean `test`?"


def test_what_an_editor_leaves_behind_is_no_environment(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory/.#test.yaml").symlink_to("someone@machine.4711")

    assert environments(root) == ("test",)


def test_an_inventory_that_cannot_be_listed_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refused)  # root may list everything

    with pytest.raises(FindingsError, match="inventory: cannot be read: permission denied"):
        environments(tmp_path)


@pytest.mark.parametrize("name", ["images.lock", "test.yaml"])
def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path, name: str) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory" / name).unlink(missing_ok=True)
    os.mkfifo(root / "inventory" / name)

    with pytest.raises(FindingsError, match=f"{name}: cannot be read: it is no file"):
        load(root, "test")


def test_a_link_to_nothing_is_told_apart_from_a_catalogue_not_written_yet(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory/other.yaml").symlink_to("nothing")

    with pytest.raises(FindingsError) as caught:
        load(root, "other")

    assert caught.value.findings[0].hint == "check where the link leads"


@pytest.mark.parametrize("name", ["../test", "models", "", "test/../test"])
def test_only_files_of_the_inventory_are_environments(tmp_path: Path, name: str) -> None:
    root = project(tmp_path, HOSTS).root

    with pytest.raises(FindingsError, match="there is no environment"):
        load(root, name)


def test_the_name_inside_is_the_name_of_the_file(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory/test.yaml").rename(root / "inventory/live.yaml")

    with pytest.raises(FindingsError, match=r"live.yaml:1: `environment` is not the name of the file"):
        load(root, "live")


def test_a_project_without_a_catalogue_is_told_so(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory/models.yaml").unlink()

    with pytest.raises(FindingsError, match=r"inventory/models.yaml: there is no such file"):
        load(root, "test")


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory/test.yaml").write_bytes(b"environment: test\n# caf\xe9\n")

    with pytest.raises(FindingsError, match=r"test.yaml:2: is not UTF-8 text"):
        load(root, "test")


def test_a_directory_in_a_files_place_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root
    (root / "inventory/images.lock").mkdir()

    with pytest.raises(FindingsError, match=r"images.lock: cannot be read: is a directory"):
        load(root, "test")


def test_an_image_of_the_lock_is_used_by_digest(tmp_path: Path) -> None:
    digest = f"sha256:{'ab' * 32}"

    read = fleet(tmp_path, HOSTS, lock=f'"tts:1": {digest}\n')

    assert read.pinned("tts:1") == f"tts@{digest}"
    assert read.pinned("other:1") == "other:1"


def test_a_digest_that_is_none_is_refused(tmp_path: Path) -> None:
    assert complaints(tmp_path, HOSTS, lock='"tts:1": latest\n') == [
        "images.lock:1 `tts:1` cannot be `latest` | write `sha256:` and 64 hexadecimal digits"
    ]


def test_an_image_of_the_lock_may_say_more_than_its_digest(tmp_path: Path) -> None:
    digest = f"sha256:{'ab' * 32}"
    entry = f'{{digest: "{digest}", cuda: "12.8", requires: "cuda>=12.8", architectures: [sm_80, sm_90+PTX]}}'

    read = fleet(tmp_path, HOSTS, lock=f'"tts:1": {entry}\n')

    assert read.pinned("tts:1") == f"tts@{digest}"
    assert read.demand("speak") == Demand("12.8", "cuda>=12.8", ("sm_80", "sm_90+PTX"))


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        ("5", "images.lock:1 `tts:1` is a number, `5` | write it in quotes to make it text"),
        (
            '{cuda: "12.8"}',
            "images.lock:1 `tts:1.digest` is missing | add `digest: ...`",
        ),
        (
            f'{{digest: "sha256:{"ab" * 32}", requires: cuda12}}',
            (
                "images.lock:1 `tts:1.requires` cannot be `cuda12`"
                " | write conditions on cuda, driver, brand and arch, such as `cuda>=12.8`"
            ),
        ),
    ],
)
def test_an_entry_of_the_lock_that_does_not_fit_is_refused(tmp_path: Path, entry: str, finding: str) -> None:
    assert complaints(tmp_path, HOSTS, lock=f'"tts:1": {entry}\n') == [finding]
