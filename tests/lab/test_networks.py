"""Uplinks, mesh and firewall together on virtual hosts, with what happens to them in the world.

The tests of this module share one lab and build on each other, in order.
"""

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest

from stackctl.lab import lifecycle
from stackctl.lab.spec import LabSpec
from tests.lab.isp import Isp, flapping, routed, silent
from tests.lab.site import FAKE, Site
from tests.lab.stream import ECHOING, Stream, echoing, streaming

pytestmark = pytest.mark.lab

LAB = "t-net"
ADDRESSES = {"edge": "10.89.0.11", "gpu1": "10.89.0.12"}
INSIDE = {"edge": "10.77.0.11", "gpu1": "10.77.0.12"}
ROLES = {"edge": ["gateway"], "gpu1": ["models"]}
PORTS = range(7800, 7810)
"""One for each connection: what is left of an earlier one is not in the way."""
_ports = iter(PORTS)
SLACK = 2.0
"""Seconds that a shared machine may add to what the agent promises."""


def host(name: str, **settings: Any) -> dict[str, Any]:
    number = ADDRESSES[name].rpartition(".")[2]
    uplinks = [
        {"name": "fibre", "interface": "wan1", "gateway": "198.18.1.1"},
        {"name": "lte", "interface": "wan2", "gateway": "auto"},
    ]
    targets = [{"icmp": "198.18.0.10"}, {"icmp": "198.18.0.20"}, {"icmp": ECHOING}]
    return {
        "address": ADDRESSES[name],
        "roles": ROLES[name],
        "system": {"time": "external"},
        "wan": {"uplinks": uplinks, "targets": targets, "probing": {"hold": 2, "window": 10}},
        "mesh": {
            "address": INSIDE[name],
            "endpoints": [f"198.18.1.{number}", f"198.18.2.{number}"],
        },
        "firewall": {
            "management": ["10.89.0.250/32"],
            "open": [{"ports": [*PORTS], "sources": ["mesh"], "reason": "connections of these tests"}],
        },
        **settings,
    }


def environment(**hosts: dict[str, Any]) -> dict[str, Any]:
    return {
        "environment": LAB,
        "lab": {},
        "network": {"domain": "stack.lab", "mesh": {"subnet": "10.77.0.0/24"}},
        "hosts": {**{name: host(name) for name in ADDRESSES}, **hosts},
        "placements": {"chat": [{"host": "gpu1", "devices": ["cpu"]}]},
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(LAB, ADDRESSES))
    site.write({"chat": FAKE}, environment())
    lifecycle.up(site.spec, lambda _: None)
    routed(site.spec)
    site.on("gpu1", "mkdir -p /srv/weights/none")
    yield site
    lifecycle.down(LAB)


def planned(site: Site) -> list[int]:
    told = json.loads(site.stackctl("plan", LAB, "--json").stdout)
    return [len(each["changes"]) for each in told["hosts"]]


def active(site: Site, name: str = "edge") -> str:
    """The interface of the route that the agent moves."""
    return site.on(name, "ip -o route show table 200").split(" dev ")[1].split()[0]


def becomes(site: Site, interface: str, seconds: float = 30) -> float:
    """Seconds until the uplink is the active one."""
    start = time.monotonic()
    while active(site) != interface:
        assert time.monotonic() < start + seconds, site.on("edge", "cat /run/stackctl-wan/wan.json")
        time.sleep(0.1)
    return time.monotonic() - start


@contextmanager
def talking(site: Site) -> Iterator[subprocess.Popen[str]]:
    """A TCP connection within the mesh over which the far end counts ten times a second."""
    port = next(_ports)
    serve = (
        f"import socket,time\nserver=socket.create_server(('{INSIDE['gpu1']}',{port}))\npeer,_=server.accept()\n"
        "n=0\nwhile True:\n peer.sendall(f'{n}\\n'.encode()); n+=1; time.sleep(.1)"
    )
    listen = (
        "import socket,time\nfor _ in range(50):\n"
        f" try: near=socket.create_connection(('{INSIDE['gpu1']}',{port}),5); near.settimeout(60); break\n"
        " except OSError: time.sleep(.2)\n"
        "for line in near.makefile(): print(line,end='',flush=True)"
    )
    with ExitStack() as stack:
        for name, program in (("gpu1", serve), ("edge", listen)):
            command = site.entering(name, f"exec timeout 180 python3 -c {shlex.quote(program)}")
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
        yield process


def counts_on(near: "subprocess.Popen[str]", seconds: float) -> bool:
    """Whether the connection has brought everything, and goes on to bring something new."""
    assert near.stdout is not None
    last = -1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number = int(near.stdout.readline())
        assert number == last + 1
        last = number
    return True


def test_hosts_become_a_closed_mesh_with_two_uplinks(site: Site) -> None:
    done = site.stackctl("apply", LAB, "--yes", seconds=600)

    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(site) == [0, 0]


def test_a_model_is_served_and_asked_within_the_mesh(site: Site) -> None:
    assert "10.77.0.11:8080" in site.on("edge", "ss -Hltn")
    assert "10.77.0.12:8000" in site.on("gpu1", "ss -Hltn")
    assert site.on("gpu1", "getent hosts chat.stack.lab").split()[0] == INSIDE["edge"]

    done = site.stackctl("ask", LAB, "chat", "hello")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "address", "port", "answers"),
    [
        ("gpu1", INSIDE["edge"], 8080, True),
        ("gpu1", INSIDE["edge"], 22, True),
        ("gpu1", ADDRESSES["edge"], 8080, False),
        ("gpu1", ADDRESSES["edge"], 22, False),
        ("edge", INSIDE["gpu1"], 8000, True),
        ("edge", ADDRESSES["gpu1"], 8000, False),
        ("edge", "198.18.1.12", 8000, False),
        ("edge", "198.18.1.12", 22, False),
    ],
)
def test_hosts_reach_each_other_in_the_mesh_alone(
    site: Site, name: str, address: str, port: int, answers: bool
) -> None:
    connect = f"import socket; socket.create_connection(({address!r}, {port}), 3)"

    said = site.on(name, f"python3 -c {shlex.quote(connect)} 2>/dev/null && echo yes || echo no")

    assert said == ("yes\n" if answers else "no\n")


def test_status_tells_of_uplinks_and_peers(site: Site) -> None:
    done = site.stackctl("status", LAB)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "fibre" in done.stdout
    assert "lte" in done.stdout


@pytest.mark.parametrize("fault", ["upstream", "gateway", "carrier"])
def test_a_dead_uplink_costs_three_seconds_at_most_and_its_return_nothing(site: Site, fault: str) -> None:
    isp = Isp(site.spec, 1)
    faults: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "upstream": isp.without_upstream,
        "gateway": isp.without_gateway,
        "carrier": lambda: isp.unplugged("edge"),
    }
    becomes(site, "wan1", 60)
    with echoing(site.spec), talking(site) as near:
        with streaming(site, "edge") as going, faults[fault]():
            becomes(site, "wan2")
            time.sleep(3)
            told = going
        with streaming(site, "edge") as back:
            becomes(site, "wan1", 45)
            time.sleep(1)
        assert counts_on(near, 1)

    assert longest(told) < (1 if fault == "carrier" else 3) + SLACK
    assert back[0].lost == 0


def longest(told: list[Stream]) -> float:
    return told[0].longest


def test_one_silent_target_moves_nothing(site: Site) -> None:
    with echoing(site.spec), streaming(site, "edge") as told, silent(site.spec, "198.18.0.10"):
        time.sleep(7)
        assert active(site) == "wan1"

    assert told[0].lost == 0


def test_uplinks_that_are_dead_together_move_nothing_and_come_back(site: Site) -> None:
    with Isp(site.spec, 1).without_upstream(), Isp(site.spec, 2).without_upstream():
        time.sleep(8)
        assert active(site) == "wan1"
    site.on("edge", f"ping -c 1 -W 5 {ECHOING}")


def test_a_third_of_the_packets_lost_is_noticed(site: Site) -> None:
    with Isp(site.spec, 1).lossy(33):
        assert becomes(site, "wan2", 60) > 0
    becomes(site, "wan1", 60)


def test_a_cable_that_comes_and_goes_is_left_alone_after_the_first_time(site: Site) -> None:
    def switches() -> int:
        return int(json.loads(site.on("edge", "cat /run/stackctl-wan/wan.json"))["switches"])

    before = switches()
    with flapping(Isp(site.spec, 1), "edge", up=2, down=2):
        time.sleep(20)
        assert switches() == before + 1
    becomes(site, "wan1", 120)


def test_an_operator_switches_for_maintenance_and_lets_go(site: Site) -> None:
    assert site.stackctl("wan", "switch", "edge", "lte").returncode == 0
    becomes(site, "wan2", 5)

    assert site.stackctl("wan", "release", "edge").returncode == 0
    becomes(site, "wan1", 60)


def test_what_was_taken_away_by_hand_is_back_by_itself(site: Site) -> None:
    site.on("edge", "ip rule flush; ip rule add pref 32766 lookup main; ip route flush table 200")
    becomes_rule = "for i in $(seq 50); do ip rule | grep -q 'lookup 200' && exit 0; sleep .1; done; exit 1"

    site.on("edge", becomes_rule)
    assert active(site) == "wan1"


def test_an_agent_that_was_killed_leaves_the_way_and_comes_back(site: Site) -> None:
    with echoing(site.spec), streaming(site, "edge") as told:
        site.on("edge", "systemctl kill -s KILL stackctl-wan")
        time.sleep(5)

    assert told[0].lost == 0
    assert site.on("edge", "systemctl is-active stackctl-wan") == "active\n"


def test_a_mesh_that_takes_the_operators_own_way_is_taken_back(site: Site) -> None:
    mesh = {**host("gpu1")["mesh"], "routes": ["10.89.0.250/32"]}
    site.write({"chat": FAKE}, environment(gpu1=host("gpu1", mesh=mesh)))
    begun = time.monotonic()

    done = site.stackctl("apply", LAB, "--yes", "--limit", "edge")
    back = time.monotonic() - begun
    site.write({"chat": FAKE}, environment())

    assert done.returncode == 1
    assert "the change to mesh cut this machine off; the host is as it was before" in done.stderr
    assert back < 90
    assert site.on("edge", "ip route get 10.89.0.250").split()[2] == "eth0"
    assert planned(site) == [0, 0]
