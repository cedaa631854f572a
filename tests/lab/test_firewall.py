"""A host with Docker and published ports behind the firewall: what is closed from where, and that it stays so.

The tests of this module share one lab and build on each other, in order.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from stackctl.capabilities.firewall import RULES_FILE, UNIT_FILE
from stackctl.lab import lifecycle
from stackctl.lab.shell import run
from stackctl.lab.spec import NAMES_ADDRESS, REGISTRY_ADDRESS, REGISTRY_PORT, LabSpec
from tests.lab.closed import (
    HOSTS,
    LAB,
    LAN,
    MESH,
    OPEN,
    STRAY,
    WAN1,
    WAN2,
    apply,
    changes,
    container,
    inventory,
    locking_out,
    others,
    reached_from_container,
    table,
    wait_for_boot,
    wait_until,
)
from tests.lab.scan import ALL_PORTS, answering, pinged, reached, refused
from tests.lab.site import FAKE, Site

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host that serves a model, with a stray container, before anybody thinks of a firewall."""
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(LAB, HOSTS))
    site.write({"chat": FAKE}, inventory(None))
    lifecycle.up(site.spec, lambda _: None)
    site.on("gpu1", "mkdir -p /srv/weights/none")
    assert apply(site).returncode == 0
    # The first process of a container ends for a signal that it handles alone; a reboot waits for it.
    serve = (
        "import http.server as h, signal, sys; signal.signal(15, lambda *_: sys.exit());"
        "h.HTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    image = site.on("gpu1", "docker ps --format '{{.Image}}'").strip()
    site.on(
        "gpu1",
        f'docker run -d --name stray --restart always -p {STRAY}:8000 --entrypoint python3 {image} -c "{serve}"',
    )
    # Others can send to a container without asking Docker.
    for role, gateway in (("host-edge", LAN), ("isp1", WAN1)):
        run(["ip", "-n", site.spec.namespace(role), "route", "add", "172.16.0.0/12", "via", gateway])
    run(["ip", "-n", site.spec.namespace("internet"), "route", "add", "198.18.1.0/24", "via", "198.18.0.1"])
    wait_until(
        site,
        "docker exec stray python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))'",
        30,
    )
    yield site
    lifecycle.down(LAB)


def test_before_the_firewall_the_scan_finds_what_there_is(site: Site) -> None:
    isp1, edge = site.spec.namespace("isp1"), site.spec.host_namespace("edge")

    assert answering(isp1, WAN1, [22, 80, STRAY]) == {22: "open", 80: "closed", STRAY: "open"}
    assert refused(isp1, WAN1, [53]) == [53]
    assert reached(edge, container(site), 8000)


def test_rules_that_shut_the_operator_out_leave_nothing_of_the_first_attempt(site: Site) -> None:
    site.write({"chat": FAKE}, inventory(OPEN))
    with locking_out(site):
        done = apply(site)

    assert done.returncode == 1
    assert "the change to firewall cut this machine off; the host is as it was before" in done.stderr
    assert table(site) == ""
    assert site.on("gpu1", f"ls {RULES_FILE} {UNIT_FILE} 2>/dev/null || echo none") == "none\n"


def test_the_plan_tells_what_stays_open_and_the_apply_leaves_docker_alone(site: Site) -> None:
    before = others(site)
    told = changes(site)

    done = apply(site)

    assert told["enforce the rules"] == (
        "closes every port but 22/tcp to management (ssh), 7980/tcp to gateways (drained replicas), "
        "8000/tcp to gateways (replica of chat)"
    )
    assert done.returncode == 0, done.stderr
    assert changes(site) == {}
    assert "chain DOCKER" in before
    assert others(site) == before


@pytest.mark.parametrize(
    ("role", "address", "ports"),
    [
        ("isp1", WAN1, ALL_PORTS),
        ("isp2", WAN2, ALL_PORTS),
        ("internet", WAN1, [*range(1, 1025), 8000, STRAY]),
    ],
)
def test_a_scan_from_outside_finds_no_open_port(
    site: Site, role: str, address: str, ports: Iterable[int]
) -> None:
    assert answering(site.spec.namespace(role), address, ports) == {}
    assert refused(site.spec.namespace(role), address, [53, 67, 123, 161, 500, 5353, 51820]) == []


def test_each_port_is_open_to_whom_it_is_declared_and_to_nobody_else(site: Site) -> None:
    isp1, operator = site.spec.namespace("isp1"), site.spec.namespace("operator")
    edge = site.spec.host_namespace("edge")
    inside = container(site)

    found = {
        "operator": [port for port in (22, 8000, STRAY) if reached(operator, LAN, port)],
        "gateway": [port for port in (22, 8000, STRAY) if reached(edge, LAN, port)],
        "isp": [port for port in (22, 8000, STRAY) if reached(isp1, LAN, port) or reached(isp1, WAN1, port)],
        "container": [port for port in (22, 8000, STRAY) if reached_from_container(site, LAN, port)],
        "past Docker": [name for name in (isp1, edge) if reached(name, inside, 8000)],
    }

    assert found == {"operator": [22], "gateway": [8000], "isp": [], "container": [], "past Docker": []}


def test_containers_and_the_host_reach_out_and_pings_are_answered(site: Site) -> None:
    assert reached_from_container(site, str(REGISTRY_ADDRESS), REGISTRY_PORT)
    assert site.on("gpu1", f"ping -c1 -W2 {NAMES_ADDRESS} >/dev/null && echo yes") == "yes\n"
    assert pinged(site.spec.namespace("isp2"), WAN2)


@pytest.mark.parametrize(
    ("by_hand", "reason"),
    [
        ("nft delete table inet stackctl", "load the rules, the kernel has none"),
        (
            f"nft add rule inet stackctl declared tcp dport {STRAY} accept",
            "load the rules again, somebody changed them in the kernel",
        ),
    ],
)
def test_what_somebody_does_by_hand_is_drift_and_healed(site: Site, by_hand: str, reason: str) -> None:
    before = table(site)
    site.on("gpu1", by_hand)

    drift = site.stackctl("drift", LAB)
    told = changes(site)["enforce the rules"]

    assert drift.returncode == 3
    assert told.startswith(reason)
    assert apply(site).returncode == 0
    assert table(site) == before
    assert changes(site) == {}


def test_a_port_that_opens_is_told_and_reached_from_outside(site: Site) -> None:
    own = {"ports": [STRAY], "sources": ["anywhere"], "reason": "a web page"}
    site.write({"chat": FAKE}, inventory({**OPEN, "open": [own]}))
    told = changes(site)

    done = apply(site)

    assert told == {"enforce the rules": f"opens {STRAY}/tcp to everybody (a web page)"}
    assert done.returncode == 0, done.stderr
    assert reached(site.spec.namespace("isp2"), WAN2, STRAY)


def test_a_plan_refuses_rules_that_would_shut_out_whoever_makes_it(site: Site) -> None:
    site.write({"chat": FAKE}, inventory({**OPEN, "management": ["10.99.0.0/24"]}))

    done = site.stackctl("plan", LAB, "--limit", "gpu1")

    assert done.returncode == 1
    assert (
        "inventory/t-firewall.yaml `hosts.gpu1.firewall`: this machine comes from 10.89.0.250 by eth0,"
        " and logins would be let in from 10.99.0.0/24 alone" in done.stderr
    )
    assert "hint: add a network that holds it to `management`" in done.stderr


def test_a_host_whose_operator_is_shut_out_and_dies_takes_the_rules_back_within_a_minute(site: Site) -> None:
    site.write({"chat": FAKE}, inventory(OPEN))
    before, files = table(site), site.on("gpu1", f"cat {RULES_FILE} {UNIT_FILE}")
    docker = others(site)
    with locking_out(site):
        process = site.start("apply", LAB, "--yes", "--limit", "gpu1")
        wait_until(site, "! nft list chain inet stackctl input | grep -q 'jump declared'", 60)
        assert not reached(site.spec.namespace("operator"), LAN, 22)
        process.kill()
        process.communicate()

    wait_until(site, "nft list chain inet stackctl input | grep -q 'jump declared'", 60)

    assert table(site) == before
    assert site.on("gpu1", f"cat {RULES_FILE} {UNIT_FILE}") == files
    assert others(site) == docker
    assert reached(site.spec.namespace("operator"), LAN, 22)
    assert changes(site) == {"enforce the rules": f"closes {STRAY}/tcp to everybody (a web page)"}


def test_after_a_boot_the_rules_are_there_before_anything_is_done(site: Site) -> None:
    before = table(site)
    # The network of a lab's host outlives it, and with it the tables.
    site.on("gpu1", "nft delete table inet stackctl; systemctl reboot")

    wait_for_boot(site)

    assert table(site) == before
    order = "systemctl show -p Before --value stackctl-firewall"
    assert "network-pre.target" in site.on("gpu1", order).split()


def test_whatever_becomes_of_the_distributions_own_tables_ours_is_there_and_ports_stay_closed(
    site: Site,
) -> None:
    assert apply(site).returncode == 0
    before = table(site)
    for verb in ("start", "reload", "restart", "stop", "start"):
        site.on("gpu1", f"systemctl {verb} nftables")

        assert table(site) == before, verb
        assert answering(site.spec.namespace("isp1"), WAN1, [22, 8000, STRAY]) == {}, verb
    assert reached(site.spec.namespace("operator"), LAN, 22)


def test_after_all_that_nothing_is_left_to_do(site: Site) -> None:
    # Docker's own tables went with the others; here it turns forwarding on itself, and drops what is not its own.
    site.on("gpu1", "sysctl -qw net.ipv4.ip_forward=0 && systemctl restart docker")

    assert changes(site) == {}
    assert "chain DOCKER" in others(site)


@pytest.fixture(scope="module")
def mesh(site: Site) -> dict[str, Any]:
    """A cable between the host and the operator that stands for a mesh, and the inventory that says so."""
    here, there = site.spec.host_namespace("gpu1"), site.spec.namespace("operator")
    run(["ip", "-n", here, "link", "add", "mesh0", "type", "veth", "peer", "name", "mesh0", "netns", there])
    for name, addresses in ((here, ["10.77.0.12"]), (there, ["10.77.0.250", "10.77.0.11"])):
        for address in addresses:
            run(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", "mesh0"])
        run(["ip", "-n", name, "link", "set", "mesh0", "up"])
    key = " ".join(site.on("gpu1", "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    return {
        "network": {"mesh": {"backend": "existing", "interface": "mesh0", "subnet": "10.77.0.0/24"}},
        "edge": {"mesh": {"address": "10.77.0.11"}},
        "gpu1": {"mesh": {"address": "10.77.0.12"}, "ssh": {"address": "10.77.0.12", "host_keys": [key]}},
    }


def test_logins_are_not_left_to_the_mesh_before_one_has_come_over_it(
    site: Site, mesh: dict[str, Any]
) -> None:
    past_it = {**mesh, "gpu1": {"mesh": mesh["gpu1"]["mesh"]}}
    site.write({"chat": FAKE}, inventory(OPEN, **past_it))
    assert apply(site).returncode == 0
    site.write({"chat": FAKE}, inventory({**OPEN, "ssh": "mesh"}, **past_it))

    done = site.stackctl("plan", LAB, "--limit", "gpu1")

    assert done.returncode == 1
    assert "comes from 10.89.0.250 by eth0, and logins would be let in from the mesh alone" in done.stderr


def test_over_the_mesh_logins_can_be_left_to_it_and_its_hosts_alone_reach_what_is_theirs(
    site: Site, mesh: dict[str, Any]
) -> None:
    site.write({"chat": FAKE}, inventory({**OPEN, "ssh": "mesh"}, **mesh))
    operator, edge = site.spec.namespace("operator"), site.spec.host_namespace("edge")

    done = apply(site)

    assert done.returncode == 0, done.stderr
    assert changes(site) == {}
    found = {
        "operator on the LAN": [port for port in (22, 8000) if reached(operator, LAN, port)],
        "gateway on the LAN": [port for port in (22, 8000) if reached(edge, LAN, port)],
        "operator in the mesh": [port for port in (22, 8000) if reached(operator, MESH, port, "10.77.0.250")],
        "gateway in the mesh": [port for port in (22, 8000) if reached(operator, MESH, port, "10.77.0.11")],
        "isp": list(answering(site.spec.namespace("isp1"), WAN1, [22, 8000, STRAY])),
    }
    assert found == {
        "operator on the LAN": [],
        "gateway on the LAN": [],
        "operator in the mesh": [22],
        "gateway in the mesh": [22, 8000],
        "isp": [],
    }


def test_a_network_behind_a_host_on_which_docker_runs_is_reached_through_the_mesh_at_once(
    site: Site, mesh: dict[str, Any]
) -> None:
    operator, behind = site.spec.namespace("operator"), "198.18.1.1"
    run(["ip", "-n", operator, "route", "add", behind, "via", MESH, "src", "10.77.0.250"])
    run(["ip", "-n", site.spec.namespace("isp1"), "route", "add", "10.77.0.0/24", "via", WAN1])
    site.on("gpu1", "systemctl reset-failed; systemctl restart docker")  # nftables took its rules along
    assert site.on("gpu1", "iptables -S FORWARD | head -1") == "-P FORWARD DROP\n"
    assert not pinged(operator, behind)
    member = {**mesh["gpu1"]["mesh"], "routes": ["198.18.1.0/24"]}
    site.write(
        {"chat": FAKE},
        inventory({**OPEN, "ssh": "mesh"}, **{**mesh, "gpu1": {**mesh["gpu1"], "mesh": member}}),
    )

    done = apply(site)

    assert done.returncode == 0, done.stderr
    assert pinged(operator, behind)
    assert changes(site) == {}
    site.on("gpu1", "systemctl restart docker")
    assert pinged(operator, behind)


def test_a_network_that_is_taken_out_is_reached_no_more_and_dockers_tables_are_its_own(
    site: Site, mesh: dict[str, Any]
) -> None:
    site.write({"chat": FAKE}, inventory({**OPEN, "ssh": "mesh"}, **mesh))

    done = apply(site)

    assert done.returncode == 0, done.stderr
    assert not pinged(site.spec.namespace("operator"), "198.18.1.1")
    assert "stackctl" not in others(site)
    assert changes(site) == {}
