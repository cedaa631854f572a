"""The operator's `~/.ssh/config`, as far as logging in needs it."""

import glob
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError

_INCLUDE = re.compile(r"\s*include[\s=]+(?P<paths>.+)", re.IGNORECASE)
_DEEPEST = 16  # OpenSSH's own limit


def settings_of(connection: Connection, config: Path | None = None) -> dict[str, Any]:
    """What the file says about a connection's address; nothing where there is no file."""
    file = config or Path("~/.ssh/config").expanduser()
    try:
        text = "\n".join(_lines(file)) if file.exists() else ""
        settings = dict(paramiko.SSHConfig.from_text(text).lookup(connection.address))
    except (paramiko.SSHException, OSError) as error:
        raise _unreadable(connection, file, str(error)) from error
    if not settings.get("port", "22").isdecimal():
        raise _unreadable(connection, file, f"`{settings['port']}` is not a port")
    return settings


def _lines(file: Path, depth: int = 0) -> Iterator[str]:
    """The lines of a file and, in place, of those it includes: paramiko knows no `Include`."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        include = _INCLUDE.fullmatch(line)
        if include is None:
            yield line
        elif depth < _DEEPEST:
            for pattern in include["paths"].split():
                for path in _included(pattern.strip('"')):
                    yield from _lines(path, depth + 1)


def _included(pattern: str) -> list[Path]:
    """Files that a pattern stands for; a relative one starts in `~/.ssh`."""
    absolute = Path("~/.ssh").expanduser() / Path(pattern).expanduser()
    return [Path(path) for path in sorted(glob.glob(str(absolute)))]  # noqa: PTH207 - patterns are absolute


def _unreadable(connection: Connection, file: Path, why: str) -> FindingsError:
    return FindingsError(Finding(connection.host, f"{file} cannot be read: {why}", "mend that file"))
