"""What `weights.lock` says of a model repository."""

from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
from stackctl.schema.fleet import Fleet
from stackctl.schema.load import load

HOSTS = """environment: prod
hosts: {gpu1: {address: 10.0.0.2, roles: [gateway, models], weights: /data}}
placements: {chat: [{host: gpu1, devices: [cpu]}]}
"""
CATALOGUE = "models: {chat: {server: vllm, image: 'vllm:1', api: [chat], weights: {repo: a/b}}}\n"
LOCK = f"""a/b@main:
  commit: {"c" * 40}
  files:
    config.json: {{size: 2, sha256: {"0" * 64}}}
    model.safetensors: {{size: 40, sha256: {"1" * 64}}}
  config: {{num_hidden_layers: 2}}
"""


def fleet(folder: Path, lock: str | None) -> Fleet:
    (folder / "inventory").mkdir()
    files = {"prod.yaml": HOSTS, "models.yaml": CATALOGUE, **({} if lock is None else {"weights.lock": lock})}
    for name, text in files.items():
        (folder / "inventory" / name).write_text(text)
    return load(folder, "prod")


def test_weights_of_a_repository_are_where_its_locked_commit_says(tmp_path: Path) -> None:
    read = fleet(tmp_path, LOCK)

    assert read.weights_on("chat", "gpu1") == f"/data/hub/a/b/{'c' * 40}"
    assert (snapshot := read.snapshot("chat")) is not None
    assert (snapshot.size, snapshot.config) == (42, {"num_hidden_layers": 2})


def test_without_a_lock_the_revision_stands_for_the_commit(tmp_path: Path) -> None:
    assert fleet(tmp_path, None).weights_on("chat", "gpu1") == "/data/hub/a/b/main"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".hidden", "a//b", "a/../b"])
def test_a_file_that_would_lie_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(FindingsError) as error:
        fleet(tmp_path, LOCK.replace("model.safetensors", path))

    assert [finding.where for finding in error.value.findings] == ["inventory/weights.lock:5"]
