"""Real git repositories for tests, untouched by the configuration of whoever runs them."""

import os
import subprocess
from pathlib import Path

import pytest

_AUTHOR = ("-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "commit.gpgsign=false")


def committed(folder: Path, message: str = "a commit") -> str:
    """Commit all that is in a folder, in a repository made where there is none; the commit's id."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, *_AUTHOR, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD").strip()


def git(folder: Path, *words: str) -> str:
    """What git prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    ended = subprocess.run(
        ["git", *words], cwd=folder, env=alone, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        pytest.fail(f"git {' '.join(words)}: {ended.stderr}")
    return ended.stdout
