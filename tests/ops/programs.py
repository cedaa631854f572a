"""Stand-ins for programs of a host."""

from pathlib import Path


def program(folder: Path, name: str, script: str) -> None:
    """A shell script called `name` in `folder`, which is put before the real programs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.unlink(missing_ok=True)  # it may be a link to a tool of this machine
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
