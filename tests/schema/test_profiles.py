from pathlib import Path

from tests.inventory import complaints, fleet

PROFILES = """\
profiles:
  node:
    os: ubuntu-24.04
    system: {packages: [htop], time: external}
    docker: {insecure_registries: ["a:5000"]}
"""


def test_a_host_takes_what_its_profile_says(tmp_path: Path) -> None:
    read = fleet(
        tmp_path, PROFILES + "hosts: {a: {address: 10.0.0.1, profile: node}, b: {address: 10.0.0.2}}"
    )

    assert (read.hosts["a"].os, read.hosts["b"].os) == ("ubuntu-24.04", "debian-13")


def test_a_hosts_own_value_wins_setting_by_setting(tmp_path: Path) -> None:
    text = "hosts: {a: {address: 10.0.0.1, profile: node, os: debian-13, system: {packages: [jq]}}}"

    host = fleet(tmp_path, PROFILES + text).hosts["a"]

    assert host.os == "debian-13"
    assert (host.system.packages, host.system.time) == (("jq",), "external")
    assert host.docker.insecure_registries == ("a:5000",)


def test_a_mistake_in_a_profile_is_found_once_and_where_it_was_written(tmp_path: Path) -> None:
    text = "profiles:\n  node: {system: {tmie: external}}\nhosts:\n"
    text += "".join(f"  h{n}: {{address: 10.0.0.{n}, profile: node}}\n" for n in range(1, 4))

    assert complaints(tmp_path, text) == [
        "test.yaml:3 `profiles.node.system.tmie` is not a setting | did you mean `time`?"
    ]


def test_an_unknown_profile_is_named_with_the_nearest(tmp_path: Path) -> None:
    text = "profiles: {node: {}}\nhosts:\n  a: {address: 10.0.0.1, profile: nod}\n  b: {address: 10.0.0.2, profile: node}"

    assert complaints(tmp_path, text) == [
        "test.yaml:4 `hosts.a.profile` names `nod`, which is not one of `profiles` | did you mean `node`?"
    ]


def test_a_profile_may_not_hold_what_is_one_hosts_own(tmp_path: Path) -> None:
    text = "profiles: {node: {address: 10.0.0.1}}\nhosts: {a: {address: 10.0.0.2, profile: node}}"

    assert complaints(tmp_path, text)[0].startswith("test.yaml:2 `profiles.node.address` is not a setting")
