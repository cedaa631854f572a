"""Who is at it, from where, and with which revision of the inventory: what hosts' records name."""

import getpass
import os
import secrets
import socket
from dataclasses import dataclass

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


def actor(commit: str) -> Actor:
    """The one who runs this process, with the inventory of `commit`."""
    return Actor(os.environ.get("SUDO_USER") or _login(), socket.gethostname(), commit, secrets.token_hex(6))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"
