"""Hosts of one mesh in namespaces, whose keys can be changed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.capabilities import load_fleet
from stackctl.mesh.interface import filled
from stackctl.render import job
from tests.agents.wireguard import make
from tests.inventory import project
from tests.mesh.rooms import Room

COUNT = 3
WAIT = 120
"""Seconds after which a busy machine, too, has come to the end of whatever is waited for."""


@dataclass
class Fleet:
    """Hosts h0, h1, … in one mesh, each with keys of its own."""

    folder: Path
    rooms: Sequence[Room]
    more: str = ""
    """What else is said of h0's place."""
    written: list[list[str]] = field(default_factory=list)
    """Files so far."""

    def key(self, index: int, number: int) -> str:
        """The public key of that number, made where there is none."""
        folder = self.rooms[index].folder / "etc"
        make(folder, number)
        for kind in ("key", "pub"):
            staged = folder / f".stackctl-{number}.{kind}.new"
            if staged.exists():
                staged.rename(folder / f"stackctl-{number}.{kind}")
        if not (folder / "stackctl.key").exists():
            (folder / "stackctl.key").symlink_to(f"stackctl-{number}.key")
        return (folder / f"stackctl-{number}.pub").read_text().strip()

    def files(self, numbers: Sequence[int]) -> list[str]:
        """The interface's file of each host, when they have keys of these numbers."""
        self.folder.mkdir(exist_ok=True)
        hosts = "".join(
            f"  h{index}: {{address: 10.0.0.{11 + index}, mesh: {{address: 10.77.0.{1 + index}, key: {number}}}}}\n"
            for index, number in enumerate(numbers)
        )
        folder = self.folder / "-".join(map(str, numbers))
        folder.mkdir()
        found = project(folder, f"network: {{mesh: {{subnet: 10.77.0.0/24}}}}\nhosts:\n{hosts}")
        read = load_fleet(found.root, "test")
        keys = {f"h{index}": (self.key(index, number), number) for index, number in enumerate(numbers)}
        parts = [
            part
            for index in range(len(numbers))
            for part in job(read, found, f"h{index}").parts
            if part.capability == "mesh"
        ]
        self.written.append([filled(part.files[0].content, keys, None) for part in parts])
        return self.written[-1]

    def write(self, index: int, text: str) -> None:
        """Put the file there."""
        path = self.rooms[index].folder / "etc/wg0.conf"
        path.write_text(text)
        path.chmod(0o600)

    def up(self) -> None:
        """All hosts, with their first keys."""
        for index, text in enumerate(self.files([1] * len(self.rooms))):
            self.write(index, text)
            self.rooms[index].run("systemctl", "restart", "wg-quick@wg0")

    def own(self, index: int) -> str:
        """The public key that a host uses."""
        return self.rooms[index].run("wg", "show", "wg0", "public-key").strip()


def until(done: Callable[[], bool], seconds: float = WAIT) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def ages(fleet: Fleet, index: int) -> list[str]:
    """Handshakes of a host, after it has spoken to all."""
    command = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n" + "".join(
        f"s.sendto(b'', ('10.77.0.{1 + other}', 9))\n" for other in range(COUNT) if other != index
    )
    fleet.rooms[index].run("python3", "-c", command)
    rows = fleet.rooms[index].run("wg", "show", "wg0", "latest-handshakes").splitlines()
    return [row.split("\t")[1] for row in rows]
