"""Uplinks on a host of the lab: one of two ISPs fails, a change that locks out is taken back, and all of it goes again.

The tests of this module share one lab, in their order: the host is bare first, and as bare in the end.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackctl.lab import lifecycle
from stackctl.lab.shell import run
from stackctl.lab.spec import NAMES_ADDRESS, PACKAGES_ADDRESS, REGISTRY_ADDRESS, LabSpec
from tests.lab.site import Site

pytestmark = pytest.mark.lab

LAB = "t-wan"
TARGETS = [{"icmp": str(address)} for address in (PACKAGES_ADDRESS, REGISTRY_ADDRESS, NAMES_ADDRESS)]
UPLINKS: list[dict[str, Any]] = [
    {"name": "fibre", "interface": "wan1"},
    {"name": "lte", "interface": "wan2", "gateway": "198.18.2.1", "metered": True},
]
LEFT = "ip rule; ip -6 rule; ip route show table all | grep -c 'proto 201'; nft list tables; ls /etc/stackctl/wan.json"
SHUT = """
  chain locked {
    type filter hook input priority 0; policy accept;
    tcp dport 22 drop
  }
}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(LAB, {"node": "10.89.0.11"}))
    lifecycle.up(site.spec, lambda _: None)
    yield site
    lifecycle.down(LAB)


def write(site: Site, uplinks: list[dict[str, Any]], **more: Any) -> None:
    """The inventory: one host with these uplinks."""
    wan = {"uplinks": uplinks, "targets": TARGETS, "profile": "fast", **more}
    node = {"address": "10.89.0.11", "os": "debian-13", "system": {"time": "external"}, "wan": wan}
    inventory = site.folder / "inventory"
    inventory.mkdir(exist_ok=True)
    (inventory / "models.yaml").write_text("models: {}\n")
    (inventory / f"{LAB}.yaml").write_text(
        yaml.safe_dump({"environment": LAB, "lab": {}, "hosts": {"node": node}})
    )


def uplinks(site: Site) -> dict[str, Any]:
    """What the agent says of them."""
    told = json.loads(site.stackctl("wan", "status", "node", "--json").stdout)
    found: dict[str, Any] = told["hosts"]["node"]
    return found


@contextmanager
def locking_out(site: Site) -> Iterator[None]:
    """A project whose own table for the uplinks shuts the operator out."""
    stock = Path(__file__).parents[2] / "templates/wan/wan.nft.j2"
    own = site.folder / "templates/wan"
    own.mkdir(parents=True)
    (own / "wan.nft.j2").write_text(stock.read_text().rstrip().removesuffix("}") + SHUT)
    yield
    (own / "wan.nft.j2").unlink()
    own.rmdir()


def test_an_interface_that_is_not_there_is_refused_before_anything_is_changed(site: Site) -> None:
    write(site, [UPLINKS[0], {"name": "lte", "interface": "wan9"}])

    planned = site.stackctl("plan", LAB)

    assert planned.returncode == 1
    assert "uplink lte: the host has no interface `wan9`" in planned.stderr
    assert "there are `eth0`, `wan1`, `wan2`" in planned.stderr


def test_a_first_apply_that_locks_out_leaves_a_host_without_agent_rules_and_table(site: Site) -> None:
    write(site, UPLINKS)
    with locking_out(site):
        began = time.monotonic()
        done = site.stackctl("apply", LAB, "--yes")

    assert done.returncode == 1
    assert "the change to wan cut this machine off; the host is as it was before" in done.stderr
    assert time.monotonic() - began < 150
    assert "201" not in site.on("node", "ip rule; ip -6 rule; ip route show table all")
    assert site.on("node", "nft list tables; ls -A /etc/stackctl") in ("", "nft\n")
    assert site.on("node", "systemctl is-active stackctl-wan || true") == "inactive\n"


def test_an_apply_has_the_uplinks_looked_after_and_leaves_nothing_to_do(site: Site) -> None:
    done = site.stackctl("apply", LAB, "--yes")

    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert site.stackctl("plan", LAB, "--exit-code").returncode == 0
    assert uplinks(site)["active"] == ["fibre"]
    status = site.stackctl("status", LAB)
    assert (status.returncode, status.stdout.splitlines()[-1]) == (0, "1 host, all well.")


def test_a_provider_that_fails_is_left_and_told(site: Site) -> None:
    router = site.spec.namespace("isp1")
    run(["ip", "-n", router, "link", "set", "internet", "down"])
    try:
        wait_until(lambda: uplinks(site)["active"] == ["lte"])
        status = site.stackctl("status", LAB)
    finally:
        run(["ip", "-n", router, "link", "set", "internet", "up"])

    assert status.returncode == 1
    assert "node · wan  `fibre` is down" in status.stderr
    wait_until(lambda: uplinks(site)["uplinks"][0]["phase"] == "recovering")


def test_a_change_that_locks_out_brings_the_former_table_and_agent_back(site: Site) -> None:
    before = site.on("node", "nft list ruleset; cat /etc/stackctl/nft/wan.nft")
    with locking_out(site):
        done = site.stackctl("apply", LAB, "--yes")

    assert "the change to wan cut this machine off; the host is as it was before" in done.stderr
    assert site.on("node", "nft list ruleset; cat /etc/stackctl/nft/wan.nft") == before
    assert uplinks(site)["running"]


def test_an_uplink_is_used_on_demand_until_it_is_released(site: Site) -> None:
    forced = site.stackctl("wan", "switch", "node", "fibre", "--for", "5m")
    released = site.stackctl("wan", "release", "node")

    assert "held on fibre for 5 min more" in forced.stdout
    assert "held" not in released.stdout


def test_whatever_becomes_of_the_distributions_own_tables_connections_stay_marked(site: Site) -> None:
    for verb in ("start", "reload", "restart", "stop"):
        site.on("node", f"systemctl {verb} nftables")

        assert "table inet stackctl_wan\n" in site.on("node", "nft list tables"), verb


def test_marks_that_somebody_flushed_are_loaded_by_the_next_apply(site: Site) -> None:
    site.on("node", "nft flush ruleset")

    assert "load the table stackctl_wan, which is gone" in site.stackctl("plan", LAB).stdout
    assert site.stackctl("apply", LAB, "--yes").returncode == 0
    assert site.on("node", "nft list tables") == "table inet stackctl_wan\n"


def test_uplinks_that_are_taken_out_leave_nothing_of_ours(site: Site) -> None:
    write(site, [])

    done = site.stackctl("apply", LAB, "--yes")

    assert done.returncode == 0
    assert site.stackctl("plan", LAB, "--exit-code").returncode == 0
    assert "201" not in site.on("node", "ip rule; ip -6 rule; ip route show table all")
    assert site.on("node", "nft list tables; ls /etc/systemd/system | grep stackctl-wan || true") == ""
    assert site.on("node", "ip route get 198.18.0.10 | head -1").startswith(
        "198.18.0.10 via 198.18.1.1 dev wan1"
    )


def wait_until(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.5)
