"""How long commands take that reach no host."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.bench.environment import OWN, TOOLS, variables
from tests.bench.measure import measure
from tests.bench.results import Started

HOSTS, MODELS = 1000, 20
HELP = "stackctl --help"
VALIDATE = f"stackctl validate ({HOSTS} hosts, {MODELS} models)"


def measure_starts(folder: Path, runs: int) -> Iterator[Started]:
    """Each command once to warm its caches, then `runs` times."""
    project = folder / "validate"
    write_project(project)
    commands: dict[str, list[str | Path]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        HELP: [OWN / "stackctl", "--help"],
        "pyinfra --help": [OWN / "pyinfra", "--help"],
        "ansible --version": [TOOLS / "ansible", "--version"],
        VALIDATE: [OWN / "stackctl", "validate", "large", "--project", project],
    }
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = variables(home)
    for name, argv in commands.items():
        measure(argv, env)
        yield Started(name, [measure(argv, env).wall for _ in range(runs)])


def write_project(folder: Path) -> None:
    """A large, valid fleet: two gateways, and a model on every other host."""
    names = [f"gpu{number:03}" for number in range(HOSTS - 2)]
    hosts: dict[str, Any] = {
        name: {"profile": "gpu", "address": _address(number), "gpus": {"a": {"uuid": _uuid(number)}}}
        for number, name in enumerate(names, 10)
    }
    hosts |= {
        name: {"profile": "edge", "address": _address(n)} for n, name in enumerate(("edge1", "edge2"), 1)
    }
    placements = {
        f"model{model:02}": [{"host": name, "devices": ["a"]} for name in names[model::MODELS]]
        for model in range(MODELS)
    }
    environment = {
        "environment": "large",
        "profiles": {"gpu": {"os": "ubuntu-24.04", "roles": ["models"]}, "edge": {"roles": ["gateway"]}},
        "hosts": hosts,
        "placements": placements,
    }
    inventory = folder / "inventory"
    inventory.mkdir(parents=True)
    (inventory / "large.yaml").write_text(yaml.safe_dump(environment, sort_keys=False))
    models = {
        f"model{number:02}": {**_MODEL, "weights": {"path": f"Model-{number}"}} for number in range(MODELS)
    }
    (inventory / "models.yaml").write_text(yaml.safe_dump({"models": models}, sort_keys=False))


_MODEL = {
    "server": "vllm",
    "image": "vllm/vllm-openai:v0.33.0",
    "api": ["chat", "completions"],
    "context": 32768,
    "max_num_seqs": 64,
}


def _address(number: int) -> str:
    return f"10.20.{number // 250}.{number % 250 + 1}"


def _uuid(number: int) -> str:
    return f"GPU-{number:08x}-1111-4222-8333-444455556666"
