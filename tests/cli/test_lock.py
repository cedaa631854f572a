"""`stackctl lock`, with Debian's docker-registry and a stand-in of the model hub on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.project import Project
from tests.cli.program import Ended, stackctl
from tests.engine.sshd import free_port
from tests.inventory import project
from tests.upstream.debian_registry import DebianRegistry, running
from tests.upstream.hub_server import FakeHub, serving

Capsys = pytest.CaptureFixture[str]
FILES = {"config.json": b'{"num_hidden_layers": 2}', "model.safetensors": b"t" * 4000}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRegistry]:
    with running(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving({"a/tiny": dict(FILES)}) as found:
        yield found


@pytest.fixture
def written(tmp_path: Path, registry: DebianRegistry, hub: FakeHub) -> Project:
    """A project of one image and one repository; the lock of images has one more that nobody uses."""
    environment = f"""weights: {{endpoint: {hub.endpoint}}}
hosts:
  gpu1:
    address: 10.0.0.2
    roles: [gateway, models]
    docker: {{insecure_registries: ["{registry.name}"]}}
placements: {{chat: [{{host: gpu1, devices: [cpu]}}]}}
"""
    catalogue = f"""models:
  chat: {{server: vllm, image: "{registry.name}/team/tool:1", api: [chat], weights: {{repo: a/tiny}}}}
"""
    return project(tmp_path, environment, catalogue, f"gone:1: sha256:{'0' * 64}\n")


def lock(capsys: Capsys, at: Project, *words: str) -> Ended:
    return stackctl(capsys, "lock", *words, cwd=at.root)


def content(at: Project) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((at.root / "inventory").glob("*.lock"))}


def test_locks_are_written_and_a_second_run_has_nothing_to_write(
    capsys: Capsys, written: Project, registry: DebianRegistry, hub: FakeHub
) -> None:
    digest = registry.push("1", {"CUDA_VERSION": "12.8.1"})

    first = lock(capsys, written)

    image = f"{registry.name}/team/tool:1"
    assert (first.code, first.err) == (0, "")
    assert first.out == (
        "images\n"
        f"  + {image}  {digest[:19]}, CUDA 12.8\n"
        f"  - {'gone:1':<{len(image)}}  no model uses it\n"
        "weights\n"
        f"  + a/tiny@main  {hub.commit('a/tiny')[:12]}, 2 files, 4.0 kB\n"
        "Locked: 2 added, 0 moved, 1 removed, 0 as they were. "
        "Review inventory/images.lock and inventory/weights.lock, and commit.\n"
    )
    locks = content(written)
    assert stackctl(capsys, "validate", cwd=written.root).code == 0

    second = lock(capsys, written)

    assert second == (0, "Nothing moved: 2 entries as upstream has them.\n", "")
    assert content(written) == locks


def test_a_check_tells_what_moved_and_writes_nothing(
    capsys: Capsys, written: Project, registry: DebianRegistry, hub: FakeHub
) -> None:
    before = registry.push("1", {"A": "1"})
    lock(capsys, written)
    commit, locks = hub.commit("a/tiny"), content(written)
    after = registry.push("1", {"A": "2"})
    hub.repositories["a/tiny"]["model.safetensors"] = b"T" * 5000

    checked = lock(capsys, written, "--check")

    assert checked.code == 3
    assert checked.out == (
        "images\n"
        f"  ~ {registry.name}/team/tool:1  {before[:19]} → {after[:19]}\n"
        "weights\n"
        f"  ~ a/tiny@main  {commit[:12]} → {hub.commit('a/tiny')[:12]}, 1 file to fetch, 5.0 kB\n"
        "To lock: 0 not locked, 2 moved, 0 no longer used, 0 as upstream has them. "
        "Run `stackctl lock`, review and commit.\n"
    )
    assert content(written) == locks


def test_what_cannot_be_asked_for_keeps_its_entry_and_the_rest_is_written(
    capsys: Capsys, written: Project, registry: DebianRegistry
) -> None:
    registry.push("1", {})
    down = f"127.0.0.1:{free_port()}"
    catalogue = written.root / "inventory/models.yaml"
    catalogue.write_text(
        catalogue.read_text()
        + f'  old: {{server: vllm, image: "{down}/old:1", api: [chat], weights: {{path: x}}}}\n'
        f'  new: {{server: vllm, image: "{down}/new:1", api: [chat], weights: {{path: x}}}}\n'
    )
    (written.root / "inventory/images.lock").write_text(f"{down}/old:1: sha256:{'1' * 64}\n")

    ended = lock(capsys, written)

    assert ended.code == 1
    assert ended.err == (
        f"{down}  {down} cannot be asked: [Errno 111] Connection refused\n"
        "  hint: see whether this machine reaches it; what is locked stays as it is\n"
        "1 error.\n"
    )
    assert f"  ? {down}/old:1" in ended.out
    assert f"{down}/old:1: sha256:{'1' * 64}\n" in content(written)["images.lock"]
    assert f"{registry.name}/team/tool:1: sha256:" in content(written)["images.lock"]
    assert f"{down}/new:1" not in content(written)["images.lock"]


def test_a_registry_that_is_down_hinders_nobody_who_has_the_lock(
    capsys: Capsys, written: Project, registry: DebianRegistry
) -> None:
    registry.push("1", {})
    lock(capsys, written)
    catalogue, locked = (written.root / "inventory" / name for name in ("models.yaml", "images.lock"))
    down = f"127.0.0.1:{free_port()}"
    for file in (catalogue, locked):
        file.write_text(file.read_text().replace(registry.name, down))
    environment = written.root / "inventory/test.yaml"
    environment.write_text(f"{environment.read_text()}locked: required\n")

    assert stackctl(capsys, "render", "test", cwd=written.root).code == 0


def test_where_all_has_to_be_locked_a_lock_can_be_begun(
    capsys: Capsys, written: Project, registry: DebianRegistry
) -> None:
    registry.push("1", {})
    environment = written.root / "inventory/test.yaml"
    environment.write_text(f"{environment.read_text()}locked: required\n")

    refused = stackctl(capsys, "validate", cwd=written.root)
    lock(capsys, written)

    assert refused.code == 2
    assert "is not in inventory/images.lock, and `test` wants all locked" in refused.err
    assert stackctl(capsys, "validate", cwd=written.root).code == 0


def test_names_choose_what_is_asked_for_and_nothing_else_changes(
    capsys: Capsys, written: Project, registry: DebianRegistry
) -> None:
    registry.push("1", {})

    lock(capsys, written, "a/tiny")

    assert content(written)["images.lock"] == f"gone:1: sha256:{'0' * 64}\n"
    assert "a/tiny@main:" in content(written)["weights.lock"]
    lock(capsys, written, "chat", "--images")
    assert "gone:1:" in content(written)["images.lock"]
    assert "team/tool:1:" in content(written)["images.lock"]


def test_a_name_that_means_nothing_is_told(capsys: Capsys, written: Project) -> None:
    assert lock(capsys, written, "chad") == (
        2,
        "",
        (
            "inventory/models.yaml  `chad` is no model, image or repository of the catalogue\n"
            "  hint: did you mean `chat`?\n"
        ),
    )


def test_machines_get_json(capsys: Capsys, written: Project, registry: DebianRegistry, hub: FakeHub) -> None:
    registry.push("1", {})
    hub.repositories.clear()

    ended = lock(capsys, written, "--check", "--json")

    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (2, "")
    assert [(change["action"], change["name"]) for change in found["changes"]] == [
        ("add", f"{registry.name}/team/tool:1"),
        ("remove", "gone:1"),
    ]
    assert found["weights"] == {"unchanged": 0, "kept": [], "missing": ["a/tiny@main"]}
    assert [finding["where"] for finding in found["findings"]] == ["a/tiny@main"]


def test_images_that_the_lab_builds_are_left_alone(capsys: Capsys, written: Project) -> None:
    image, entry = "registry.lab:5000/lab/tts:1", f"registry.lab:5000/lab/tts:1: sha256:{'2' * 64}\n"
    (written.root / "inventory/models.yaml").write_text(
        f'models: {{chat: {{server: custom, image: "{image}", port: 1, api: [speech]}}}}\n'
    )
    (written.root / "inventory/images.lock").write_text(entry)

    assert lock(capsys, written) == (0, "Nothing moved: 0 entries as upstream has them.\n", "")
    assert content(written)["images.lock"] == entry
