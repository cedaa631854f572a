"""A host of a WireGuard mesh as an apply sees it: gpu1, which is a room, told what others are said to tell."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet
from stackctl.engine.run import Run
from stackctl.ops import wireguard
from stackctl.plan.change import HostPlan
from stackctl.render import job
from tests.engine.fleet import one_host
from tests.inventory import project
from tests.mesh.rooms import Room

BODY = """
from stackctl.ops import wireguard
wireguard.key(name="have the key", spec=spec.wireguard)
wireguard.interface(name="run the mesh", spec=spec.wireguard, config=files_[0])
"""
HOSTS = """\
  gpu1: {address: 10.0.0.11, mesh: {address: 10.77.0.1}}
  gpu2: {address: 10.0.0.12, mesh: {address: 10.77.0.2}}
  gpu3: {address: 10.0.0.13, mesh: {address: 10.77.0.3}}
"""
PLAIN = f"network: {{mesh: {{subnet: 10.77.0.0/24}}}}\nhosts:\n{HOSTS}"
SHARED = f"""\
network: {{mesh: {{subnet: 10.77.0.0/24, preshared: master}}}}
secrets: {{master: env:MESH_MASTER}}
hosts:
{HOSTS}"""
MASTER = "an-hour-of-rain-on-a-tin-roof-in-april"
TWO = "4GgaQCy68tzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
NEW = "kO9nq5lGzM6tZ0nCqjOAPJ8tu1wpVqSgQfXb0pJ0Gmk="
ALL = {"gpu2": {"wireguard/1": TWO}}


class Host:
    """A run over gpu1, which is the room, for one inventory after another."""

    def __init__(self, room: Room, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room, self.folder, self.count = room, folder, 0
        self.told: Mapping[str, Mapping[str, str]] = {}
        self.runs: list[Run] = []
        monkeypatch.setattr(wireguard, "takes_part", lambda host: host in self.told)
        monkeypatch.setattr(wireguard, "told", lambda host, topic: self.told.get(host, {}).get(topic))

    def run(self, environment: str = PLAIN, told: Mapping[str, Mapping[str, str]] = ALL) -> Run:
        self.count += 1
        self.told = told
        folder = self.folder / f"inventory{self.count}"
        folder.mkdir()
        found = project(folder, environment)
        fleet = load_fleet(found.root, "test")
        [name] = [name for name, each in fleet.hosts.items() if str(each.address) == "10.0.0.11"]
        own = job(fleet, found, name)
        [part] = [part for part in own.parts if part.capability == "mesh"]
        run = one_host(
            folder / "deploy", BODY, *part.files, spec=part.spec, session=lambda _: self.room.session()
        )
        self.runs.append(run)
        return run

    def plan(self, environment: str = PLAIN, told: Mapping[str, Mapping[str, str]] = ALL) -> HostPlan:
        return self.run(environment, told).plan().hosts[0]

    def apply(self, environment: str = PLAIN, told: Mapping[str, Mapping[str, str]] = ALL) -> list[str]:
        """The reasons, once it is done."""
        run = self.run(environment, told)
        plan = run.plan()
        [outcome] = run.apply(plan).hosts
        assert (outcome.findings, [change.reason for change in outcome.left]) == ((), [])
        assert self.reasons(environment, told) == []
        return [change.reason for change in plan.hosts[0].changes]

    def reasons(self, environment: str = PLAIN, told: Mapping[str, Mapping[str, str]] = ALL) -> list[str]:
        plan = self.plan(environment, told)
        assert plan.findings == ()
        return [change.reason for change in plan.changes]

    @property
    def config(self) -> Path:
        return self.room.folder / "etc/wg0.conf"

    def close(self) -> None:
        """Leave it."""
        for run in self.runs:
            run.close()
