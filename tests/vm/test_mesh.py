"""WireGuard as the kernel has it, uplinks and the firewall, on two machines with kernels and boots of their own.

The tests of this module share the machines and build on each other, in order.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stackctl.lab import lifecycle
from stackctl.lab.spec import LabSpec
from tests.lab.isp import Isp, routed
from tests.lab.site import Site

pytestmark = pytest.mark.vm

LAB = "t-vm-mesh"
ADDRESSES = {"east": "10.89.0.11", "west": "10.89.0.12"}
SYSTEMS = {"east": "debian-13", "west": "debian-12"}
SECONDS = 3600


def host(name: str, number: int) -> dict[str, Any]:
    uplinks = [
        {"name": "fibre", "interface": "wan1", "gateway": "198.18.1.1"},
        {"name": "lte", "interface": "wan2", "gateway": "198.18.2.1"},
    ]
    targets = [{"icmp": f"198.18.0.{last}"} for last in (10, 20, 53)]
    return {
        "address": ADDRESSES[name],
        "os": SYSTEMS[name],
        "system": {"time": "external"},
        "wan": {"uplinks": uplinks, "targets": targets, "profile": "lte"},
        "mesh": {
            "address": f"10.77.0.{number}",
            "endpoints": [f"198.18.1.{number}", f"198.18.2.{number}"],
        },
        "firewall": {"management": ["10.89.0.250/32"]},
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(LAB, ADDRESSES, systems=SYSTEMS, kind="vm"))
    hosts = {"east": host("east", 11), "west": host("west", 12)}
    mesh = {"subnet": "10.77.0.0/24"}
    site.write({}, {"environment": LAB, "lab": {}, "network": {"mesh": mesh}, "hosts": hosts})
    lifecycle.up(site.spec, lambda _: None)
    routed(site.spec)
    yield site
    lifecycle.down(LAB)


def planned(site: Site) -> list[int]:
    told = json.loads(site.stackctl("plan", LAB, "--json", seconds=SECONDS).stdout)
    return [len(each["changes"]) for each in told["hosts"]]


def test_two_bare_machines_come_into_the_mesh(site: Site) -> None:
    done = site.stackctl("apply", LAB, "--yes", seconds=SECONDS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(site) == [0, 0]


def test_the_mesh_is_the_kernel_s_own(site: Site) -> None:
    for name in ADDRESSES:
        assert site.on(name, "lsmod | grep -c ^wireguard") == "1\n"
        assert site.on(name, "pgrep -c wireguard-go || true") == "0\n"
    assert "3 received" in site.on("east", "ping -c 3 -W 10 10.77.0.12")


def test_the_mesh_follows_when_the_provider_of_both_hosts_dies(site: Site) -> None:
    with Isp(site.spec, 1).without_gateway():
        site.on("east", "for i in $(seq 60); do ping -c 1 -W 2 10.77.0.12 && exit; done; exit 1")
        assert "dev wan2" in site.on("east", "ip route show table 200")


def test_a_boot_brings_all_of_it_back_before_anything_is_served(site: Site) -> None:
    site.on("west", "systemd-run --on-active=2 systemctl reboot")
    site.on("east", "sleep 20; for i in $(seq 120); do ping -c 1 -W 5 10.77.0.12 && exit; done; exit 1")

    assert planned(site) == [0, 0]
    assert "inet stackctl" in site.on("west", "nft list tables")
