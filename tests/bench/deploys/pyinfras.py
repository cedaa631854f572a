"""The bench's work in pyinfra's own operations: as a deploy of stackctl's, and as pyinfra's `deploy.py`."""

import json
from pathlib import Path
from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.operations import apt, files, systemd

HERE = Path(__file__).parent
WORK = json.loads((HERE / "work.json").read_text())


def operations() -> None:
    """One operation for each thing."""
    for path in WORK["files"]:
        source = str(HERE / Path(path).name)
        files.put(name=f"write {path}", src=source, dest=path, user="root", group="root", mode="644")
    for path, line in WORK["lines"].items():
        files.line(name=f"set {path}", path=path, line=line)
    for package in WORK["packages"]:
        apt.packages(name=f"install {package}", packages=[package])
    for unit in WORK["units"]:
        systemd.service(name=f"run {unit}", service=unit, running=True, enabled=True)


@deploy("system")
def system(_spec: Any, _artifacts: Any) -> None:
    """For stackctl."""
    operations()
