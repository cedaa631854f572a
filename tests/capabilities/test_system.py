from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet, system
from stackctl.core.finding import FindingsError
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


def test_a_pinned_package_takes_the_place_of_the_stacks_own_of_that_name(tmp_path: Path) -> None:
    read = fleet(
        tmp_path,
        "hosts: {a: {address: 10.0.0.1, system: {time: external, packages: [jq, curl=8.14.1-2, zsh=1:5.9+b1]}}}",
    )

    assert system.resolve(read, "a").packages == ("ca-certificates", "curl=8.14.1-2", "jq", "zsh=1:5.9+b1")


def test_a_package_with_and_without_its_version_stands_twice(tmp_path: Path) -> None:
    with pytest.raises(FindingsError) as error:
        fleet(tmp_path, "hosts: {a: {address: 10.0.0.1, system: {packages: [jq, tree, jq=1.7]}}}")

    (finding,) = error.value.findings
    assert finding.what == "`hosts.a.system.packages.2` lists `jq=1.7` again"


def test_a_hosts_own_kernel_setting_wins(tmp_path: Path) -> None:
    read = fleet(tmp_path, "hosts: {a: {address: 10.0.0.1, system: {sysctl: {net.core.somaxconn: 128}}}}")

    assert system.resolve(read, "a").sysctl["net.core.somaxconn"] == "128"


def test_files_are_those_a_reviewer_has_seen(tmp_path: Path) -> None:
    settings = "{sysctl: {vm.swappiness: 10}, time_servers: [ntp1.lan, ntp2.lan]}"
    found = project(tmp_path, f"hosts: {{a: {{address: 10.0.0.1, system: {settings}}}}}")
    read = load_fleet(found.root, "test")

    expect_files("system/a", files_of(job(read, found, "a"), "system"))
