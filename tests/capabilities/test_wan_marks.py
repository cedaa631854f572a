"""The table that marks connections, between namespaces: each keeps to the uplink that it began on.

The host has two ISPs and a client behind it. Either ISP has the target, so that what arrives says by which it went.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/usr/sbin/nft").exists(), reason="needs root and nftables"
)

GOLDEN = Path(__file__).parents[1] / "golden/wan"
TARGET = "203.0.113.9"

COUNTING = f"""
table inet count {{
  counter sent {{ }}
  counter answered {{ }}
  chain in {{
    type filter hook prerouting priority 0
    ip daddr {TARGET} udp dport 9 counter name sent
    udp sport 53 counter name answered
  }}
}}
"""
SERVING = """
import socket
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("", 53))
data, caller = door.recvfrom(99)
door.sendto(data, caller)
"""


@dataclass(frozen=True)
class Net:
    """The namespaces of one test."""

    prefix: str
    ways: tuple[str, str]
    """How the host leaves by each ISP, as `ip route` takes it."""

    def on(self, namespace: str, script: str, stdin: str = "") -> str:
        argv = ["ip", "netns", "exec", f"{self.prefix}{namespace}", "sh", "-ec", script]
        return subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True).stdout

    def use(self, isp: int) -> None:
        """Have new connections leave by one of them, as the agent does."""
        self.on("host", f"ip route replace default {self.ways[isp - 1]} table 200")

    def send(self, port: int, namespace: str = "client", to: tuple[str, int] = (TARGET, 9)) -> None:
        """One packet from this port."""
        script = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            f"s.bind(('', {port})); s.sendto(b'x', {to!r})"
        )
        self.on(namespace, f'python3 -c "{script}"')

    def seen(self, counter: str = "sent") -> tuple[int, int]:
        """Packets that arrived at each ISP."""
        time.sleep(0.1)
        listed = [self.on(isp, f"nft list counter inet count {counter}").split() for isp in ("isp1", "isp2")]
        one, two = (int(words[words.index("packets") + 1]) for words in listed)
        return one, two


SHARED = """
ip link set lo up
ip rule add pref 90 lookup main suppress_prefixlength 0
ip rule add pref 110 fwmark 0x1/0xff lookup 201; ip rule add pref 111 fwmark 0x2/0xff lookup 202
ip rule add pref 200 lookup 200
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.all.src_valid_mark=1
ip link set inside up; ip addr add 10.9.0.1/24 dev inside
"""
TRANSLATION = """
table ip nat {
  chain out { type nat hook postrouting priority srcnat; oifname != "inside" masquerade; }
  chain in { type nat hook prerouting priority dstnat; iifname != "inside" udp dport 53 dnat to 10.9.0.2; }
}
"""


@pytest.fixture
def two_interfaces() -> Iterator[Net]:
    net = Net(f"t-wm{os.getpid() % 10000}-", ("via 198.18.1.1 dev wan1", "via 198.18.2.1 dev wan2"))
    with_namespaces = ("host", "client", "isp1", "isp2")
    yield from _made(net, with_namespaces, _two_interfaces)


@pytest.fixture
def one_interface() -> Iterator[Net]:
    net = Net(
        f"t-wm{os.getpid() % 10000}-",
        ("via 10.0.0.1 dev lan0 src 10.0.0.11", "via 10.0.0.2 dev lan0 src 10.0.0.12"),
    )
    yield from _made(net, ("host", "client", "isp1", "isp2", "lan"), _one_interface)


def _made(net: Net, namespaces: tuple[str, ...], wire: Callable[[Net], None]) -> Iterator[Net]:
    for name in namespaces:
        subprocess.run(["ip", "netns", "add", f"{net.prefix}{name}"], check=True)
    try:
        net.on("host", f"ip link add inside type veth peer name eth0 netns {net.prefix}client")
        wire(net)
        net.on(
            "host",
            SHARED
            + f"ip route add default {net.ways[0]} table 201; ip route add default {net.ways[1]} table 202",
        )
        net.on("host", "nft -f -", TRANSLATION)
        net.on(
            "client",
            "ip link set eth0 up; ip addr add 10.9.0.2/24 dev eth0; ip route add default via 10.9.0.1",
        )
        for isp in ("isp1", "isp2"):
            net.on(isp, f"ip link set lo up; ip addr add {TARGET}/32 dev lo")
            net.on(isp, "nft -f -", COUNTING)
        yield net
    finally:
        for name in namespaces:
            subprocess.run(["ip", "netns", "del", f"{net.prefix}{name}"], check=True)


def _two_interfaces(net: Net) -> None:
    for isp in (1, 2):
        net.on("host", f"ip link add wan{isp} type veth peer name cable netns {net.prefix}isp{isp}")
        net.on("host", f"ip addr add 198.18.{isp}.11/24 dev wan{isp}; ip link set wan{isp} up")
        net.on(f"isp{isp}", f"ip addr add 198.18.{isp}.1/24 dev cable; ip link set cable up")


def _one_interface(net: Net) -> None:
    net.on("lan", "ip link add lan type bridge; ip link set lan up")
    for name, interface, address in (("host", "lan0", 11), ("isp1", "cable", 1), ("isp2", "cable", 2)):
        net.on("lan", f"ip link add {name} type veth peer name {interface} netns {net.prefix}{name}")
        net.on("lan", f"ip link set {name} master lan up")
        net.on(name, f"ip addr add 10.0.0.{address}/24 dev {interface}; ip link set {interface} up")
    net.on("host", "ip addr add 10.0.0.12/24 dev lan0")


@pytest.mark.parametrize("kind", ["two_interfaces", "one_interface"])
def test_a_connection_keeps_to_its_uplink_when_another_is_used(
    kind: str, request: pytest.FixtureRequest
) -> None:
    net: Net = request.getfixturevalue(kind)
    net.on("host", f"nft -f {GOLDEN}/{kind.replace('_', '-')}/etc/stackctl/nft/wan.nft")
    net.use(2)
    net.send(4000)
    assert net.seen() == (0, 1)

    net.use(1)
    net.send(4000)
    net.send(4001)

    assert net.seen() == (1, 2)


@pytest.mark.parametrize("kind", ["two_interfaces", "one_interface"])
def test_without_the_table_it_would_be_torn_from_it(kind: str, request: pytest.FixtureRequest) -> None:
    net: Net = request.getfixturevalue(kind)
    net.use(2)
    net.send(4000)

    net.use(1)
    net.send(4000)

    assert net.seen()[1] == 1


@pytest.mark.parametrize(
    ("kind", "address"), [("two_interfaces", "198.18.2.11"), ("one_interface", "10.0.0.12")]
)
def test_who_asks_a_container_by_an_uplink_is_answered_by_that(
    kind: str, address: str, request: pytest.FixtureRequest
) -> None:
    net: Net = request.getfixturevalue(kind)
    net.on("host", f"nft -f {GOLDEN}/{kind.replace('_', '-')}/etc/stackctl/nft/wan.nft")
    net.use(1)
    net.on("isp2", "ip addr add 203.0.113.50/32 dev lo")
    script = f"python3 -c '{SERVING}'"
    with subprocess.Popen(["ip", "netns", "exec", f"{net.prefix}client", "sh", "-c", script]) as serving:
        time.sleep(0.5)
        net.send(5000, "isp2", (address, 53))
        serving.wait(10)

    assert net.seen("answered") == (0, 1)
