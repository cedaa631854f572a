"""A lab of one host, whose only capability is a deploy written in the test."""

import json
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl.lab.spec import Kind, LabSpec
from tests.lab.site import Site

IMPORTS = """
from pyinfra.api.deploy import deploy
from pyinfra.operations import server
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, machine, systemd
from stackctl.ops.step import Guard

@deploy("system")
def system(spec, artifacts):
"""


@dataclass(frozen=True)
class Node:
    """The host `node` of a lab, and the project that is applied to it."""

    site: Site

    @classmethod
    def of(cls, folder: Path, lab: str, system: str = "debian-13", kind: Kind = "container") -> "Node":
        (folder / "inventory").mkdir()
        (folder / "deploys").mkdir()
        (folder / "inventory/models.yaml").write_text("models: {}\n")
        (folder / f"inventory/{lab}.yaml").write_text(
            f"environment: {lab}\nlab: {{}}\nhosts:\n"
            f"  node: {{address: 10.89.0.11, os: {system}, system: {{time: external}}}}\n"
        )
        spec = LabSpec.of(lab, {"node": "10.89.0.11"}, systems={"node": system}, kind=kind)
        return cls(Site(folder, spec))

    @property
    def lab(self) -> str:
        return self.site.spec.name

    def deploy(self, body: str) -> None:
        """What the host is to be from now on."""
        text = IMPORTS + textwrap.indent(textwrap.dedent(body), "    ")
        (self.site.folder / "deploys/system.py").write_text(text)

    def apply(self, *flags: str, seconds: int = 300) -> "subprocess.CompletedProcess[str]":
        return self.site.stackctl("apply", self.lab, "--yes", *flags, seconds=seconds)

    def plan(self) -> list[str]:
        """Names of the operations that an apply would run."""
        planned = json.loads(self.site.stackctl("plan", self.lab, "--json").stdout)
        return [change["operation"] for change in planned["hosts"][0]["changes"]]

    def history(self) -> list[dict[str, Any]]:
        """The runs that the host tells of."""
        told: dict[str, Any] = json.loads(self.site.stackctl("history", self.lab, "--json").stdout)
        visits: list[dict[str, Any]] = told["hosts"]["node"]
        return visits

    def on(self, command: str) -> str:
        """Run a shell command on the host, past SSH."""
        return self.site.on("node", command)
