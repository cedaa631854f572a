"""Who is at it, from where, and with which revision of the inventory: what hosts' records name."""

import getpass
import os
import secrets
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stackctl import __version__


@dataclass(frozen=True)
class Actor:
    """The operator of one run."""

    who: str
    """The person's login; of who called sudo, where that was used."""
    machine: str
    """Name of the machine that stackctl runs on."""
    commit: str
    """Git commit of the project, `+` behind it where files of it were changed since; empty without git."""
    run: str
    """Name of this run, the same on all its hosts."""
    version: str = __version__


def actor(project: Path) -> Actor:
    """The one who runs this process."""
    return Actor(
        os.environ.get("SUDO_USER") or _login(),
        socket.gethostname(),
        _commit(project),
        secrets.token_hex(6),
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def _commit(project: Path) -> str:
    try:
        head = _git(project, "rev-parse", "--short=12", "HEAD")
        changed = _git(project, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{head}+" if changed else head


def _git(project: Path, *words: str) -> str:
    asked = ["git", "-C", str(project), *words]
    done = subprocess.run(
        asked, capture_output=True, text=True, check=True, timeout=10, stdin=subprocess.DEVNULL
    )
    return done.stdout.strip()
