from pathlib import Path

from stackctl.capabilities import load_fleet, system
from stackctl.render import job
from tests.expected import expect_files, files_of
from tests.inventory import fleet, project

TWO = "hosts: {b: {address: 10.0.0.2}, a: {address: 10.0.0.11}}\n"


def test_every_host_knows_all_hosts_and_names_in_order_of_address(tmp_path: Path) -> None:
    read = fleet(tmp_path, TWO + "network: {domain: site.lan, names: {registry.lan: 10.0.0.5}}")

    assert system.resolve(read, "a").names == system.resolve(read, "b").names
    assert system.resolve(read, "a").names == (
        "10.0.0.2 b.site.lan b",
        "10.0.0.5 registry.lan",
        "10.0.0.11 a.site.lan a",
    )


def test_a_host_is_called_as_in_the_inventory_unless_told_otherwise(tmp_path: Path) -> None:
    read = fleet(
        tmp_path, "hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2, system: {hostname: old-b}}}"
    )

    assert [system.resolve(read, host).hostname for host in "ab"] == ["a", "old-b"]


def test_a_clock_kept_from_outside_needs_no_package(tmp_path: Path) -> None:
    read = fleet(
        tmp_path, "hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2, system: {time: external}}}"
    )

    assert system.resolve(read, "a").packages == ("ca-certificates", "curl", "systemd-timesyncd")
    assert system.resolve(read, "b").packages == ("ca-certificates", "curl")


def test_a_hosts_own_kernel_setting_wins(tmp_path: Path) -> None:
    read = fleet(tmp_path, "hosts: {a: {address: 10.0.0.1, system: {sysctl: {net.core.somaxconn: 128}}}}")

    assert system.resolve(read, "a").sysctl["net.core.somaxconn"] == "128"


def test_files_are_those_a_reviewer_has_seen(tmp_path: Path) -> None:
    settings = "{sysctl: {vm.swappiness: 10}, time_servers: [ntp1.lan, ntp2.lan]}"
    found = project(tmp_path, f"hosts: {{a: {{address: 10.0.0.1, system: {settings}}}}}")
    read = load_fleet(found.root, "test")

    expect_files("system/a", files_of(job(read, found, "a"), "system"))
