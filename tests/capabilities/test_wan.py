import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from stackctl.agents import wan as agent
from stackctl.capabilities import load_fleet, wan
from stackctl.render import job
from stackctl.schema.uplinks import kernel_settings
from stackctl.schema.wan import Uplink, Wan
from tests.expected import GOLDEN, expect_files, files_of
from tests.inventory import fleet, project

TWO = "{name: fibre, interface: wan1, gateway: 198.18.1.1}, {name: lte, interface: wan2}"
ONE_LAN = (
    "{name: fibre, interface: lan0, gateway: 10.0.0.1, address: 10.0.0.11/24},"
    "{name: dsl, interface: lan0, gateway: 10.0.0.2, address: 10.0.0.12/24, gateway6: 'fe80::2'}"
)
NFT = shutil.which("nft") or "/usr/sbin/nft"


def host(uplinks: str, settings: str = "", more: str = "") -> str:
    return f"hosts: {{a: {{address: 10.0.0.11, wan: {{uplinks: [{uplinks}], {settings}}}, {more}}}}}\n"


def resolved(folder: Path, uplinks: str, settings: str = "", more: str = "") -> wan.WanSpec:
    spec = wan.resolve(fleet(folder, host(uplinks, settings, more)), "a")
    assert spec is not None
    return spec


def rendered(folder: Path, environment: str) -> dict[str, str]:
    """Files of the host, but for the agent, which is the same on every host."""
    found = project(folder, environment)
    files = files_of(job(load_fleet(found.root, "test"), found, "a"), "wan")
    return {path: text for path, text in files.items() if path != wan.AGENT_FILE.lstrip("/")}


def test_a_host_whose_uplinks_nobody_wrote_is_left_alone(tmp_path: Path) -> None:
    assert wan.resolve(fleet(tmp_path, "hosts: {a: {address: 10.0.0.11}}"), "a") is None


def test_uplinks_stand_in_the_order_of_preference_and_keep_the_number_of_their_place(tmp_path: Path) -> None:
    uplinks = (
        "{name: lte, interface: w1, metered: true, priority: 1}, {name: dsl, interface: w2, priority: 20},"
        "{name: fibre, interface: w3, priority: 10}"
    )

    spec = resolved(tmp_path, uplinks)

    assert [(item.name, item.number) for item in spec.uplinks] == [("fibre", 3), ("dsl", 2), ("lte", 1)]


def test_an_uplink_written_before_others_leaves_them_their_numbers_where_it_has_one(tmp_path: Path) -> None:
    spec = resolved(tmp_path, "{name: new, interface: w3, number: 3}, " + TWO)

    assert [(item.name, item.number) for item in spec.uplinks] == [("new", 3), ("fibre", 1), ("lte", 2)]


def test_numbers_of_ones_own_lie_over_those_of_the_uplinks_profile(tmp_path: Path) -> None:
    uplinks = "{name: fibre, interface: w1}, {name: lte, interface: w2, profile: lte}"

    fibre, lte = resolved(tmp_path, uplinks, "profile: fast, probing: {hold: 5}").uplinks

    assert [fibre.probing[key] for key in ("interval", "timeout", "down_after", "hold")] == [0.2, 0.4, 3, 5]
    assert [lte.probing[key] for key in ("interval", "timeout", "down_after", "hold")] == [1, 2, 5, 5]


@pytest.mark.parametrize(("profile", "seconds"), [("balanced", 2.5), ("fast", 0.8), ("lte", 6.0)])
def test_a_dead_uplink_is_told_within_the_time_that_its_profile_promises(
    tmp_path: Path, profile: str, seconds: float
) -> None:
    probing = resolved(tmp_path, TWO, f"profile: {profile}").uplinks[0].probing

    told = (probing["down_after"] - 1) * probing["interval"] + probing["timeout"]

    assert told == pytest.approx(seconds)


def test_targets_are_told_to_the_agent_with_their_method(tmp_path: Path) -> None:
    targets = 'targets: [{icmp: 1.1.1.1}, {tcp: "192.0.2.1:443"}, {dns: "2620:fe::fe"}]'
    uplinks = "{name: a, interface: w1, gateway6: auto}, {name: b, interface: w2, gateway6: auto}"

    assert list(resolved(tmp_path, uplinks, targets).targets) == [
        {"method": "icmp", "address": "1.1.1.1"},
        {"method": "tcp", "address": "192.0.2.1", "port": 443},
        {"method": "dns", "address": "2620:fe::fe"},
    ]


def test_the_agent_is_up_before_the_mesh_it_carries(tmp_path: Path) -> None:
    mesh = "network: {mesh: {subnet: 10.77.0.0/24}}"
    read = fleet(tmp_path, host(TWO, more="mesh: {address: 10.77.0.1}") + mesh)

    spec = wan.resolve(read, "a")

    assert spec is not None
    assert "wg-quick@wg0.service" in spec.before


def test_settings_of_an_interface_with_a_dot_in_its_name_are_written_with_slashes(tmp_path: Path) -> None:
    spec = resolved(tmp_path, "{name: a, interface: eth0.7}, {name: b, interface: eth1}")

    assert spec.sysctl["net/ipv4/conf/eth0.7/rp_filter"] == "2"
    assert {key for key in spec.passing if key.endswith("arp_ignore")} == {
        "net/ipv4/conf/eth0.7/arp_ignore",
        "net.ipv4.conf.eth1.arp_ignore",
    }


def test_only_a_networkd_that_knows_next_hops_is_told_of_them(tmp_path: Path) -> None:
    for name, system in (("a", "debian-13"), ("b", "debian-12"), ("c", "ubuntu-24.04")):
        folder = tmp_path / name
        folder.mkdir()
        assert resolved(folder, TWO, more=f"os: {system}").next_hops == (system == "debian-13")


def test_without_uplinks_nothing_is_written(tmp_path: Path) -> None:
    assert wan.templates(resolved(tmp_path, "")) == ()


def test_two_interfaces_with_two_providers(tmp_path: Path) -> None:
    pins = "pins: [{uplink: lte, user: cloudflared}, {uplink: fibre, source: 172.30.0.0/24}]"

    expect_files("wan/two-interfaces", rendered(tmp_path, host(TWO, pins)))


def test_one_interface_with_two_gateways(tmp_path: Path) -> None:
    expect_files("wan/one-interface", rendered(tmp_path, host(ONE_LAN, "profile: fast")))


def test_addresses_from_dhcp_under_netplan(tmp_path: Path) -> None:
    uplinks = "{name: fibre, interface: enp1s0}, {name: lte, interface: enp2s0, metered: true, profile: lte}"

    resolvers = "resolvers: [9.9.9.9, '2620:fe::fe']"

    expect_files("wan/netplan", rendered(tmp_path, host(uplinks, resolvers, more="os: ubuntu-24.04")))


def test_without_name_servers_of_ones_own_those_of_dhcp_stay(tmp_path: Path) -> None:
    files = rendered(tmp_path, host(TWO, more="os: ubuntu-24.04"))

    dropin = files["etc/stackctl/networkd/wan1.conf"]
    assert "UseDNS" not in dropin
    assert "DNS" not in files["etc/systemd/resolved.conf.d/stackctl-wan.conf"]


def test_the_agent_understands_its_configuration(tmp_path: Path) -> None:
    pins = "pins: [{uplink: lte, user: cloudflared}, {uplink: fibre, source: 172.30.0.0/24}], mode: weighted"
    text = rendered(tmp_path, host(TWO, pins))["etc/stackctl/wan.json"]

    config = agent.configured(text)

    assert [(each.name, each.number, each.gateway) for each in config.uplinks] == [
        ("fibre", 1, "198.18.1.1"),
        ("lte", 2, "auto"),
    ]
    assert [(pin.user, pin.source) for pin in config.pins] == [("cloudflared", None), (None, "172.30.0.0/24")]
    assert (config.mode, len(config.targets)) == ("weighted", 3)


def test_the_agent_is_the_packages_own(tmp_path: Path) -> None:
    found = project(tmp_path, host(TWO))
    files = files_of(job(load_fleet(found.root, "test"), found, "a"), "wan")

    assert files["usr/lib/stackctl/wan.py"].endswith(f"\n{Path(agent.__file__).read_text('utf-8')}")


@pytest.mark.skipif(not Path(NFT).exists() or os.geteuid() != 0, reason="needs nft and root")
@pytest.mark.parametrize("file", sorted((GOLDEN / "wan").rglob("wan.nft")))
def test_nftables_takes_the_marks_as_they_are(file: Path) -> None:
    done = subprocess.run([NFT, "-c", "-f", str(file)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    text = rendered(tmp_path, host(TWO))["etc/systemd/system/stackctl-wan.service"]
    unit = tmp_path / "stackctl-wan.service"
    unit.write_text(text.replace("/usr/sbin/nft", "/bin/true"))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("mode", "spread"), [("weighted", "1"), ("failover", None)])
def test_connections_to_one_address_are_spread_by_their_ports(
    mode: Literal["weighted", "failover"], spread: str | None
) -> None:
    uplinks = tuple(Uplink(name=name, interface=name) for name in ("fibre", "lte"))

    settings = kernel_settings(Wan(uplinks=uplinks, mode=mode))

    assert settings.get("net.ipv4.fib_multipath_hash_policy") == spread
