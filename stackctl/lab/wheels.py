"""Where this machine gets its Python packages: uv is told what pip is configured to do here."""

import configparser
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

_FLAGS = {"index-url": "--default-index", "extra-index-url": "--index", "find-links": "--find-links"}
_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


def uv() -> Path | None:
    """The uv on the PATH, or the one that came with this Python environment; None where there is none."""
    beside = (Path(sys.executable).parent / "uv", Path(sys.prefix).parent / ".uv/bin/uv")
    found = shutil.which("uv")
    return Path(found) if found else next((path for path in beside if path.exists()), None)


def source_flags(environment: Mapping[str, str] = os.environ, files: Iterable[str] = _FILES) -> list[str]:
    """Flags for `uv pip install` that say what pip's files and variables say; a variable wins over a file."""
    settings: dict[str, str] = {}
    for file in files:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(Path(file).expanduser())
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update(parser[section])
    for name in _FLAGS:
        variable = f"PIP_{name.upper().replace('-', '_')}"
        if variable in environment:
            settings[name] = environment[variable]
    return [
        f"{flag}={place}"
        for name, flag in _FLAGS.items()
        for place in settings.get(name, "").split()
        if not place.startswith("/") or Path(place).exists()
    ]
