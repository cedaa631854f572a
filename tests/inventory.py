"""Small inventories for tests."""

from pathlib import Path

from stackctl.capabilities import load_fleet
from stackctl.core.finding import FindingsError
from stackctl.project import Project
from stackctl.schema.fleet import Fleet

CATALOGUE = """
models:
  chat: {server: vllm, image: "vllm/vllm-openai:v0.33.0", weights: {path: tiny}, api: [chat]}
  speak: {server: custom, image: "tts:1", port: 8880, api: [speech]}
"""
HOSTS = """\
hosts:
  edge: {address: 10.0.0.11, roles: [gateway]}
  gpu1: {address: 10.0.0.12, roles: [models]}
  gpu2: {address: 10.0.0.13, roles: [models]}
"""


def project(folder: Path, environment: str, catalogue: str = CATALOGUE, lock: str | None = None) -> Project:
    """A project with the environment `test`, whose first line is its name."""
    inventory = folder / "inventory"
    inventory.mkdir()
    (inventory / "test.yaml").write_text(f"environment: test\n{environment}")
    (inventory / "models.yaml").write_text(catalogue)
    if lock is not None:
        (inventory / "images.lock").write_text(lock)
    return Project(folder)


def fleet(folder: Path, environment: str, catalogue: str = CATALOGUE, lock: str | None = None) -> Fleet:
    """The fleet of such a project."""
    return load_fleet(project(folder, environment, catalogue, lock).root, "test")


def complaints(
    folder: Path, environment: str, catalogue: str = CATALOGUE, lock: str | None = None
) -> list[str]:
    """What is wrong with such a project: `test.yaml:3 WHAT | HINT`, in order."""
    try:
        fleet(folder, environment, catalogue, lock)
    except FindingsError as error:
        where = [item.where.removeprefix("inventory/") for item in error.findings]
        return [
            f"{place} {item.what} | {item.hint}" for place, item in zip(where, error.findings, strict=True)
        ]
    return []
