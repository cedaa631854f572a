"""What is to be locked, and environments that want all of it locked."""

from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet_with_warnings
from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.lock import Repository, repositories, usual
from tests.inventory import fleet

HOSTS = """environment: prod
locked: {locked}
hosts: {{gpu1: {{address: 10.0.0.2, roles: [gateway, models]}}}}
placements: {{chat: [{{host: gpu1, devices: [cpu]}}]}}
"""
CATALOGUE = """models:
  chat:
    server: vllm
    image: vllm:1
    api: [chat]
    weights: {repo: a/b}
  unplaced: {server: vllm, image: "vllm:2", api: [chat], weights: {repo: c/d}}
"""
HINT = "run `stackctl lock`, review what it writes, and commit it"


def findings(folder: Path, locked: str, **locks: str) -> tuple[Finding, ...]:
    """What loading says of an environment with these locks."""
    (folder / "inventory").mkdir()
    files = {"prod.yaml": HOSTS.format(locked=locked), "models.yaml": CATALOGUE}
    files |= {f"{name}.lock": text for name, text in locks.items()}
    for name, text in files.items():
        (folder / "inventory" / name).write_text(text)
    try:
        return load_fleet_with_warnings(folder, "prod")[1]
    except FindingsError as error:
        return error.findings


def test_where_all_has_to_be_locked_the_rest_is_refused(tmp_path: Path) -> None:
    assert findings(tmp_path, "required") == (
        Finding(
            "inventory/models.yaml:4",
            "`vllm:1` is not in inventory/images.lock, and `prod` wants all locked",
            HINT,
        ),
        Finding(
            "inventory/models.yaml:6",
            "`a/b@main` is not in inventory/weights.lock, so that no host fetches it",
            HINT,
        ),
    )


def test_what_is_placed_and_locked_is_enough(tmp_path: Path) -> None:
    images = f"vllm:1: sha256:{'0' * 64}\n"
    weights = f"a/b@main: {{commit: {'c' * 40}, files: {{x: {{size: 1, sha256: {'1' * 63}a}}}}}}\n"

    assert findings(tmp_path, "required", images=images, weights=weights) == ()


def test_elsewhere_only_weights_that_nobody_can_fetch_are_a_warning(tmp_path: Path) -> None:
    (told,) = findings(tmp_path, "optional")

    assert (told.where, told.severity) == ("inventory/models.yaml:6", "warning")


@pytest.mark.parametrize(
    ("left_out", "because_of"),
    [
        (".gitattributes", []),
        ("docs/.hidden/x.json", []),
        ("README.md", []),
        ("figures/Speed.PNG", []),
        ("pytorch_model.bin", ["model.safetensors"]),
        ("2_Dense/pytorch_model.bin", ["2_Dense/model.safetensors"]),
        ("original/consolidated.00.pth", ["model.safetensors"]),
        ("onnx/tokenizer.json", ["model.safetensors"]),
        ("model.gguf", ["model.safetensors"]),
    ],
)
def test_what_servers_do_not_need_is_left_out(left_out: str, because_of: list[str]) -> None:
    assert usual([left_out, "config.json", *because_of]) == tuple(sorted(["config.json", *because_of]))


@pytest.mark.parametrize(
    ("kept", "beside"),
    [
        ("pytorch_model.bin", "config.json"),
        ("voices/af.pt", "model.safetensors"),
        ("2_Dense/pytorch_model.bin", "model.safetensors"),
        ("onnx/model.onnx", "config.json"),
        ("model.gguf", "config.json"),
        ("unet/model.safetensors", "vae/model.safetensors"),
    ],
)
def test_what_nothing_stands_in_for_is_kept(kept: str, beside: str) -> None:
    assert kept in usual([kept, beside])


def test_a_model_may_say_which_files_it_wants() -> None:
    wanted = Repository("a/b", "main", ("*.json", "consolidated.safetensors"), usual=False)

    assert wanted.wanted(["config.json", "consolidated.safetensors", "model.safetensors"]) == (
        "config.json",
        "consolidated.safetensors",
    )


def test_models_that_share_a_repository_get_what_any_of_them_wants(tmp_path: Path) -> None:
    hosts = "hosts: {edge: {address: 10.0.0.11}}\n"
    catalogue = "models:\n" + "".join(
        f"  {name}: {{server: vllm, image: 'vllm:1', api: [chat], weights: {{repo: a/b{files}}}}}\n"
        for name, files in {"one": ", files: ['*.gguf']", "two": ""}.items()
    )

    models = fleet(tmp_path, hosts, catalogue).models

    assert repositories(models) == {"a/b@main": Repository("a/b", "main", ("*.gguf",), usual=True)}
