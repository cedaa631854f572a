"""The engine on hosts by the thousand, which say what one host was recorded to say: what planning itself costs, without any SSH.

Each size is measured in a process of its own: `python -m tests.bench.scale FOLDER HOSTS`.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer, Command
from stackctl.engine.session import Session
from stackctl.engine.shards import spread
from stackctl.plan.change import Plan
from stackctl.plan.event import Event
from stackctl.views.plan import plan_text
from tests.bench.contenders import write_deploy
from tests.bench.environment import variables
from tests.bench.memory import measure_with_memory
from tests.bench.results import Scaled
from tests.bench.work import host_files, work_of
from tests.engine.local import LocalSession
from tests.ops.programs import program


def planned(
    jobs: Sequence[Job], find_deploy: Callable[[str], Path], new_session: Callable[[Connection], Session]
) -> Plan:
    """A plan by the engine, over as many processes as the program itself would take."""
    arguments = ("bench", jobs, find_deploy, _silent, lambda: _NOBODY)
    with spread(*arguments, new_session=new_session) as hosts:
        hosts.connect()
        return hosts.plan()


_NOBODY = Actor("bench", "bench", "", "bench")


def _silent(event: Event) -> None:
    """Nobody listens."""


@dataclass
class Recorded:
    """A session with a host that says what another one said to the same commands."""

    said: Mapping[str, Answer]
    round_trips: int = 0

    def open(self) -> None:
        """Always there."""

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        """At once."""
        self.round_trips += 1
        return tuple(self.said[command.script] for command in commands)

    def close(self) -> None:
        """Nothing to leave."""


class _Recording(LocalSession):
    """A real shell over prepared files and stand-ins for programs; `said` is what it answered."""

    def __init__(self, programs: Path) -> None:
        super().__init__(programs)
        self.said: dict[str, Answer] = {}

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        answers = super().run(commands)
        self.said.update(zip((command.script for command in commands), answers, strict=True))
        return answers


def recorded(folder: Path) -> Mapping[str, Answer]:
    """What a host on which everything is as it should be says to all that its plan asks."""
    recording = _Recording(folder / "bin")
    plan = planned([_job("host")], lambda _: folder / "system.py", lambda _: recording)
    if plan.findings or plan.changes:
        raise ValueError(f"the prepared host is not prepared: {plan_text(plan)}\n{plan.findings}")
    return recording.said


def _job(name: str) -> Job:
    return Job(name, Connection(name, "192.0.2.1"), (Part("system", None, ()),))


_DPKG = """shift 3
for name; do echo "$name install installed 1.0-1"; done"""
_SYSTEMCTL = """while [ "$1" != -- ]; do shift; done; shift
for unit; do cat "$0.txt"; echo; done"""
_RUNNING = """\
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no
ActiveEnterTimestamp=Tue 2026-11-24 06:00:00.000000 UTC
StateChangeTimestamp=Tue 2026-11-24 06:00:00.000000 UTC
"""


def _prepare(folder: Path, operations: int) -> None:
    """The deploy, and files and programs as on a host that has it all."""
    base = work_of(operations)
    place = folder / "etc"
    place.mkdir(parents=True)
    for path, content in host_files().items():
        (place / Path(path).name).write_text(content)
    work = replace(
        base,
        files={str(place / Path(path).name): content for path, content in base.files.items()},
        lines={str(place / Path(path).name): line for path, line in base.lines.items()},
    )
    write_deploy(folder, work, "own", "system.py")
    program(folder / "bin", "dpkg-query", _DPKG)
    program(folder / "bin", "systemctl", _SYSTEMCTL)
    (folder / "bin/systemctl.txt").write_text(_RUNNING)


def measure_scale(folder: Path, hosts: int, operations: int) -> Scaled:
    """Plan so many hosts in a process of its own."""
    place = folder / f"scale-{operations}"
    if not place.exists():
        _prepare(place, operations)
    argv: list[str | Path] = [sys.executable, "-m", "tests.bench.scale", place, str(hosts)]
    home = folder / "home"
    home.mkdir(exist_ok=True)
    said, memory = measure_with_memory(argv, variables(home))
    return Scaled(hosts, operations, memory=memory, **json.loads(said))


def _measured(folder: Path, hosts: int) -> dict[str, Any]:
    """In the process of its own; starting Python and reading code are not part of it."""
    said = recorded(folder)
    jobs = [_job(f"host{number:04}") for number in range(hosts)]
    begin, spent = time.perf_counter(), _processor_seconds()
    plan = planned(jobs, lambda _: folder / "system.py", lambda _: Recorded(said))
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
    print(json.dumps(_measured(Path(sys.argv[1]), int(sys.argv[2]))))
