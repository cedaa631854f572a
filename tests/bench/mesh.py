"""What a mesh costs as it grows: rendering its files, their size, and taking over a change of peers.

`python -m tests.bench.mesh [HOSTS …]`, as root where `wireguard-go` is installed.
"""

import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from stackctl.mesh.interface import filled
from stackctl.mesh.wireguard import config_file, resolve
from stackctl.project import Project
from stackctl.render import jobs
from stackctl.schema.fleet import Fleet
from tests.mesh.rooms import Room, missing, rooms

ROOT = Path(__file__).parents[2]
SUBNET = IPv4Network("10.77.0.0/16")
SIZES = (10, 100, 1000)
RENDERED = 100
"""Hosts at most whose files are rendered; of a larger fleet these stand for all."""


@dataclass(frozen=True)
class Cost:
    """What one size of fleet costs."""

    hosts: int
    resolved: float
    """Seconds of CPU for the specifications of all hosts, or of those that stand for them."""
    rendered: float
    """Seconds of CPU for all files of those hosts, every capability's."""
    size: int
    """Bytes of one host's interface file."""
    whole: float | None = None
    """Seconds of `wg setconf` with all peers on an interface without any."""
    same: float | None = None
    """Seconds in which our own program takes over a file that has not changed."""
    more: float | None = None
    """The same with one peer more."""


def fleet_of(count: int) -> Fleet:
    """A full mesh, each host with an address of its own."""
    hosts = {
        f"h{index:04}": {
            "address": IPv4Address("10.0.0.1") + index,
            "mesh": {"address": SUBNET[1 + index]},
        }
        for index in range(count)
    }
    return Fleet.model_validate(
        {"environment": "test", "network": {"mesh": {"subnet": SUBNET}}, "hosts": hosts}
    )


def measure(count: int, folder: Path) -> Cost:
    """One size."""
    fleet = fleet_of(count)
    some = sorted(fleet.hosts)[:RENDERED]
    began = time.process_time()
    for host in some:
        resolve(fleet, host)
    resolved = time.process_time() - began
    began = time.process_time()
    made = jobs(fleet, Project(ROOT), some)
    rendered = time.process_time() - began
    [text] = [
        file.content for part in made[0].parts for file in part.files if file.path == config_file("wg0")
    ]
    keys = {name: (b64encode(name.encode().ljust(32)).decode(), 1) for name in fleet.hosts}
    whole = filled(text, keys, None)
    cost = Cost(count, resolved, rendered, len(whole))
    if missing():
        return cost
    with rooms(folder / str(count), ["10.0.0.1"]) as [room]:
        return Cost(count, resolved, rendered, len(whole), *_taken_over(room, whole))


def _taken_over(room: Room, text: str) -> tuple[float, float, float]:
    folder = room.folder / "etc"
    (folder / "stackctl-1.key").write_text(room.run("wg", "genkey"))
    (folder / "stackctl.key").symlink_to("stackctl-1.key")
    head, *peers = text.split("\n[Peer]")
    path = folder / "wg0.conf"
    path.write_text(head)
    path.chmod(0o600)
    room.run("systemctl", "restart", "wg-quick@wg0")
    path.write_text(text)
    stripped = room.run("wg-quick", "strip", "wg0")
    whole = _timed(lambda: room.run("wg", "setconf", "wg0", "/dev/stdin", text=stripped))
    path.write_text("\n[Peer]".join([head, *peers[:-1]]))
    room.sync()
    same = _timed(room.sync)
    path.write_text(text)
    return whole, same, _timed(room.sync)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def table(costs: list[Cost]) -> str:
    """A line for each size."""
    rows = [
        (
            f"{'hosts':>6} {'resolve':>9} {'render':>9} {'a host':>9} {'a file':>10} {'all files':>10}"
            f" {'setconf':>9} {'no change':>9} {'one more':>9}"
        )
    ]
    for cost in costs:
        asked = min(cost.hosts, RENDERED)
        times = [cost.resolved, cost.rendered, cost.rendered / asked]
        taken = [cost.whole, cost.same, cost.more]
        rows.append(
            f"{cost.hosts:>6} "
            + " ".join(f"{seconds * 1000:>6.0f} ms" for seconds in times)
            + f" {cost.size / 1024:>6.1f} KiB {cost.size * cost.hosts / 2**20:>6.1f} MiB "
            + " ".join("        -" if each is None else f"{each * 1000:>6.0f} ms" for each in taken)
        )
    return "\n".join([*rows, f"resolve and render: CPU, of {RENDERED} hosts at most"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="stackctl-bench-") as made:
        sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
        print(table([measure(count, Path(made)) for count in sizes]))
