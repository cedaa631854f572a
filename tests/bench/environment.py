"""The programs to compare with, in a Python environment of the bench's own; stackctl's stays as it is."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-bench"
TOOLS = ENVIRONMENT / "bin"
OWN = Path(sys.executable).parent
"""Where stackctl's program and pyinfra's are."""


def make_environment() -> None:
    """Install the dependency group `bench`, where it is not installed yet."""
    wanted: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["bench"]
    key = hashlib.sha256(json.dumps([wanted, sys.version]).encode()).hexdigest()[:16]
    stamp = ENVIRONMENT / f".made-from-{key}"
    if stamp.exists():
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([TOOLS / "python", "-m", "pip", "install", *quiet, *wanted], check=True)
    stamp.touch()


def strategy_plugins() -> Path:
    """Where Mitogen's strategies for Ansible are."""
    return next(ENVIRONMENT.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy"))


def variables(home: Path) -> dict[str, str]:
    """The environment that every measured program gets: its own home, and compiled code kept between runs."""
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{OWN}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(home / "pycache"),
        "TERM": "dumb",
    }
