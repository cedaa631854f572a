"""A fleet of one host made of a deploy written in the test."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stackctl.core.artifact import Artifact
from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.engine.actor import Actor
from stackctl.engine.run import Run
from stackctl.engine.session import Session
from stackctl.plan.event import Event
from tests.engine.local import LocalSession

ALICE = Actor("alice", "laptop", "0123456789ab", "run-1", "0.1.0")
IMPORTS = """
from pyinfra.api import deploy
from pyinfra.operations import server
from stackctl.ops import (
    answering, apt, cdi, compose, driver, fabric, files, firewall, hold, leftovers, machine, modules, repository, systemd, tuning
)

@deploy("demo")
def demo(spec, files_):
"""


def one_host(
    folder: Path,
    body: str,
    *artifacts: Artifact,
    spec: Any = None,
    session: Callable[[Connection], Session] = lambda _: LocalSession(),
    host: str = "gpu1",
    events: list[Event] | None = None,
) -> Run:
    """A run over `host`, whose deploy `demo(spec, files_)` has `body`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "demo.py"
    path.write_text(IMPORTS + textwrap.indent(textwrap.dedent(body), "    "))
    job = Job(host, Connection(host, "192.0.2.1"), (Part("demo", spec, artifacts),))
    listen = events.append if events is not None else (lambda _: None)
    run = Run("test", [job], lambda _: path, listen, lambda: ALICE, new_session=session)
    run.connect()
    return run
