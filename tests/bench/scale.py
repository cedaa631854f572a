"""The engine on hosts by the thousand, answered from memory: what planning itself costs, without any SSH.

Each size is measured in a process of its own: `python -m tests.bench.scale FOLDER HOSTS OPERATIONS`.
"""

import base64
import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.engine.batch import Answer, Command
from stackctl.engine.run import Run
from stackctl.engine.session import Session
from stackctl.ops.apt import Packages
from stackctl.ops.files import Files
from stackctl.ops.systemd import Unit
from stackctl.plan.change import Plan
from stackctl.views.plan import plan_text
from tests.bench.contenders import write_deploy
from tests.bench.environment import variables
from tests.bench.memory import measure_with_memory
from tests.bench.results import Scaled
from tests.bench.work import Work, host_files, work_of


def planned(
    jobs: Sequence[Job], find_deploy: Callable[[str], Path], new_session: Callable[[Connection], Session]
) -> Plan:
    """A plan by the engine; the one place here that knows how it is asked for one."""
    with Run("bench", jobs, find_deploy, lambda _: None, new_session=new_session) as run:
        run.connect()
        return run.plan()


@dataclass
class Prepared:
    """A session with a host where everything is as it should be; what it is asked has been foreseen."""

    known: dict[str, Answer]
    round_trips: int = 0

    def open(self) -> None:
        """Always there."""

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        """At once."""
        self.round_trips += 1
        return tuple(self.known[command.script] for command in commands)

    def close(self) -> None:
        """Nothing to leave."""


def answers(work: Work) -> dict[str, Answer]:
    """What a host with this work done says to every fact that the work asks for, by the fact's command."""
    said: dict[str, str] = {}
    for path, content in work.files.items():
        sha = hashlib.sha256(content.encode()).hexdigest()
        said[Files().command(wanted=[(path, sha)])] = f"0 file 644 0 0 {sha} - root/root\n"
    for path in work.lines:
        whole = host_files()[path].encode()
        known = f"{hashlib.sha256(whole).hexdigest()} {base64.b64encode(whole).decode()}"
        said[Files().command(wanted=[(path, "0")])] = f"0 file 644 0 0 {known} root/root\n"
    for name in work.packages:
        said[Packages().command(names=[name])] = f"{name} installed 1.0-1\n"
    for unit in work.units:
        said[Unit().command(unit=unit, files=())] = _RUNNING
    return {command: Answer(0, text, "") for command, text in said.items()}


_RUNNING = """\
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no
ActiveEnterTimestamp=Tue 2026-11-24 06:00:00.000000 UTC
StateChangeTimestamp=Tue 2026-11-24 06:00:00.000000 UTC
"""


def measure_scale(folder: Path, hosts: int, operations: int) -> Scaled:
    """Plan so many hosts in a process of its own."""
    place = folder / f"scale-{operations}"
    if not place.exists():
        write_deploy(place, work_of(operations), "own", "system.py")
    argv: list[str | Path] = [sys.executable, "-m", "tests.bench.scale", place, str(hosts), str(operations)]
    home = folder / "home"
    home.mkdir(exist_ok=True)
    said, memory = measure_with_memory(argv, variables(home))
    return Scaled(hosts, operations, memory=memory, **json.loads(said))


def _measured(folder: Path, hosts: int, operations: int) -> dict[str, Any]:
    """In the process of its own; starting Python and reading code are not part of it."""
    known = answers(work_of(operations))
    names = [f"host{number:04}" for number in range(hosts)]
    jobs = [Job(name, Connection(name, "192.0.2.1"), (Part("system", None, ()),)) for name in names]
    begin, spent = time.perf_counter(), _processor_seconds()
    plan = planned(jobs, lambda _: folder / "system.py", lambda _: Prepared(known))
    text = plan_text(plan)
    wall, cpu = time.perf_counter() - begin, _processor_seconds() - spent
    if plan.findings or plan.changes or len(plan.hosts) != hosts:
        raise ValueError(f"not a plan without changes: {text}\n{plan.findings}")
    return {"wall": wall, "cpu": cpu, "lines": text.count("\n") + 1}


def _processor_seconds() -> float:
    """This process's, and its ended children's."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    print(json.dumps(_measured(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
