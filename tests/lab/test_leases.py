"""An uplink whose address networkd leases from the provider: what becomes of it while the agent runs.

The tests of this module share one lab and build on each other, in order.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from stackctl.lab import lifecycle
from stackctl.lab.shell import inside, run
from stackctl.lab.spec import NAMES_ADDRESS, PACKAGES_ADDRESS, REGISTRY_ADDRESS, LabSpec
from tests.agents import wan_echo
from tests.agents.wan_streams import Connection, Datagrams, going_on
from tests.lab.dhcp import client, leasing
from tests.lab.site import Site

pytestmark = pytest.mark.lab

LAB = "t-leases"
FAR = str(PACKAGES_ADDRESS)
TARGETS = [{"icmp": str(address)} for address in (PACKAGES_ADDRESS, REGISTRY_ADDRESS, NAMES_ADDRESS)]
UPLINKS = [
    {"name": "fibre", "interface": "wan1"},
    {"name": "lte", "interface": "wan2", "gateway": "198.18.2.1"},
]
ROUTE = "default via 198.18.1.1 dev wan1 proto 201"
ONLINE = "/usr/lib/systemd/systemd-networkd-wait-online"


@dataclass
class Leased:
    """A host whose `wan1` has its address from a provider's DHCP server."""

    site: Site
    folder: Path
    server: ExitStack = field(default_factory=ExitStack)
    log: Path = Path()

    def on(self, command: str) -> str:
        return self.site.on("node", command)

    def lease(self, router: str, first: str) -> None:
        """Have the provider hand out addresses from `first` on, with this router, and know of no others."""
        self.server.close()
        self.log = self.server.enter_context(
            leasing(self.site.spec, 1, self.folder, router=router, first=first)
        )

    def granted(self) -> int:
        """Leases that the server gave or renewed so far."""
        return self.log.read_text().count("DHCPACK")

    def route(self, table: int = 200) -> str:
        return self.on(f"ip route show table {table} default").strip()

    def switches(self) -> int:
        return int(json.loads(self.on("cat /run/stackctl-wan/wan.json"))["switches"])


@pytest.fixture(scope="module")
def leased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leased]:
    """The host with its lease, and an agent that is on that uplink."""
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(LAB, {"node": "10.89.0.11"}))
    host = Leased(site, tmp_path_factory.mktemp("dhcp"))
    try:
        lifecycle.up(site.spec, lambda _: None)
        with host.server, _echoing(site.spec):
            host.lease("198.18.1.1", "198.18.1.100")
            _networkd(host)
            _inventory(site)
            done = site.stackctl("apply", LAB, "--yes")
            assert done.returncode == 0, done.stderr
            wait_until(lambda: "dev wan1" in host.route())
            yield host
    finally:
        lifecycle.down(LAB)


@contextmanager
def _echoing(spec: LabSpec) -> Iterator[None]:
    command = inside(spec.namespace("internet"), [sys.executable, wan_echo.__file__, FAR])
    with subprocess.Popen(command) as server:
        try:
            yield
        finally:
            server.kill()


def _networkd(host: Leased) -> None:
    """In place of the address that the lab has given."""
    host.on("ip addr flush dev wan1")
    for name in ("wan1", "dead0"):
        written = run(
            host.site.entering("node", f"cat >/etc/systemd/network/{name}.network"), stdin=client(name)
        )
        assert written == ""
    host.on("ip link add dead0 up type veth peer name dead1 && ip link set dead1 up")
    host.on("systemctl start systemd-networkd")
    wait_until(lambda: "198.18.1.1" in host.on("ip -4 -o addr show dev wan1 scope global"))


def _inventory(site: Site) -> None:
    wan = {"uplinks": UPLINKS, "targets": TARGETS, "probing": {"hold": 2}}
    node = {"address": "10.89.0.11", "os": "debian-13", "system": {"time": "external"}, "wan": wan}
    folder = site.folder / "inventory"
    folder.mkdir()
    (folder / "models.yaml").write_text("models: {}\n")
    (folder / f"{LAB}.yaml").write_text(
        yaml.safe_dump({"environment": LAB, "lab": {}, "hosts": {"node": node}})
    )


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


@contextmanager
def used(host: Leased) -> Iterator[tuple[Connection, Datagrams]]:
    """A connection that stays, and datagrams of which each is a flow of its own."""
    namespace = host.site.spec.host_namespace("node")
    with (
        going_on(namespace, Connection(FAR)) as connection,
        going_on(namespace, Datagrams(FAR)) as stream,
    ):
        wait_until(lambda: len(connection.times) > 5)
        yield connection, stream


def test_a_lease_that_is_renewed_moves_nothing_and_nobody_notices(leased: Leased) -> None:
    route, granted = leased.route(), leased.granted()
    with used(leased) as (connection, stream):
        begun = time.monotonic()
        leased.on("networkctl renew wan1")
        wait_until(lambda: leased.granted() > granted)
        time.sleep(3)
        end = time.monotonic()
        time.sleep(0.5)

    assert route.startswith(f"{ROUTE} src 198.18.1.1")
    assert (leased.route(), leased.switches(), connection.dialled) == (route, 0, 1)
    assert stream.lost(begun, end) == 0


def test_what_networkd_does_as_it_starts_anew_leaves_the_route_and_connections(leased: Leased) -> None:
    route, rules = leased.route(), leased.on("ip rule")
    with used(leased) as (connection, stream):
        leased.on("systemctl restart systemd-networkd")
        wait_until(lambda: "dev wan1 proto dhcp" in leased.on("ip route show default"))
        time.sleep(3)

    assert (leased.route(), leased.on("ip rule"), leased.switches()) == (route, rules, 0)
    assert connection.dialled == 1
    assert stream.gap() < 2


def test_a_lease_that_is_renewed_with_another_router_leaves_connections(leased: Leased) -> None:
    run(["ip", "-n", leased.site.spec.namespace("isp1"), "addr", "add", "198.18.1.2/24", "dev", "wan"])
    leased.lease("198.18.1.2", "198.18.1.100")
    route = leased.route()
    with used(leased) as (connection, stream):
        leased.on("networkctl renew wan1")
        wait_until(lambda: leased.route() == route.replace("198.18.1.1 ", "198.18.1.2 "))
        time.sleep(3)

    assert (leased.switches(), connection.dialled) == (0, 1)
    assert stream.gap() < 2


def test_another_address_is_followed(leased: Leased) -> None:
    leased.lease("198.18.1.1", "198.18.1.200")
    with used(leased) as (_, stream):
        leased.on("networkctl reconfigure wan1")
        wait_until(lambda: leased.route(201).startswith(f"{ROUTE} src 198.18.1.2"), 60)
        wait_until(lambda: leased.route().startswith(f"{ROUTE} src 198.18.1.2"), 60)
        time.sleep(1)
        settled = time.monotonic()
        time.sleep(2)

    assert "from 198.18.1.1" not in leased.on("ip rule")
    assert stream.lost(settled, settled + 1) == 0
    assert stream.gap() < 10


def test_a_boot_waits_for_one_interface_and_not_for_those_that_are_dead(leased: Leased) -> None:
    """`dead0` waits for a lease that nobody gives."""
    assert "dead0" in leased.on(f"{ONLINE} --timeout=3 2>&1 || networkctl list dead0")

    assert leased.on("systemd-analyze verify --man=no systemd-networkd-wait-online.service 2>&1") == ""
    leased.on("timeout 20 systemctl start systemd-networkd-wait-online")
