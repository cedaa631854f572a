"""The bench's work in stackctl's own operations, in the place of a project's `deploys/system.py`."""

import json
from pathlib import Path
from typing import Any

from pyinfra.api.deploy import deploy

from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, systemd

WORK = json.loads(Path(__file__).with_name("work.json").read_text())


@deploy("system")
def system(_spec: Any, _artifacts: Any) -> None:
    """One operation for each thing."""
    for path, content in WORK["files"].items():
        files.write(name=f"write {path}", artifacts=[Artifact(path, content)])
    for path, line in WORK["lines"].items():
        files.block(name=f"set {path}", path=path, marker=Path(path).stem, lines=[line])
    for package in WORK["packages"]:
        apt.packages(name=f"install {package}", names=[package])
    for unit in WORK["units"]:
        systemd.service(name=f"run {unit}", unit=unit)
