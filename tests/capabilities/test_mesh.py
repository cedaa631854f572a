"""The mesh as each host sees it, and what stands in its way."""

from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet, load_fleet_with_warnings, mesh, system
from stackctl.core.opening import Opening
from stackctl.render import job
from tests.expected import expect_files, files_of
from tests.inventory import complaints, fleet, project

NETWORK = "network: {mesh: {subnet: 10.77.0.0/24}}\n"
WIDE = """\
network: {mesh: {subnet: 10.77.0.0/24, preshared: mesh-master}}
secrets: {mesh-master: env:MESH_MASTER}
hosts:
  edge:
    address: 10.0.0.11
    roles: [gateway]
    mesh: {address: 10.77.0.1, hub: true, endpoints: [203.0.113.5, 198.51.100.7]}
  gpu1:
    address: 192.168.1.12
    mesh: {address: 10.77.0.2, nat: true, site: home, routes: [172.30.1.0/24]}
  gpu2: {address: 192.168.1.13, mesh: {address: 10.77.0.3, nat: true, site: home}}
  gpu3:
    address: 192.168.7.14
    mesh: {address: 10.77.0.4, nat: true}
    wan:
      uplinks:
        - {name: dsl, interface: eth0, mtu: 1492}
        - {name: lte, interface: eth1, mtu: 1430}
"""
"""A hub on the internet, two hosts behind one router, one behind another with small packets."""


def two(first: str = "", second: str = "") -> str:
    """Two hosts in a mesh with more said of each."""
    return NETWORK + (
        f"hosts:\n  a: {{address: 10.0.0.1, mesh: {{address: 10.77.0.1{first}}}}}\n"
        f"  b: {{address: 10.0.0.2, mesh: {{address: 10.77.0.2{second}}}}}\n"
    )


@pytest.mark.parametrize("host", ["edge", "gpu1", "gpu3"])
def test_files_are_those_a_reviewer_has_seen(tmp_path: Path, host: str) -> None:
    found = project(tmp_path, WIDE)
    files = files_of(job(load_fleet(found.root, "test"), found, host), "mesh")

    # The programs' own texts are in `stackctl/agents`.
    expect_files(f"mesh/wireguard/{host}", {k: v for k, v in files.items() if not k.endswith(".py")})


def test_a_host_is_not_its_own_peer(tmp_path: Path) -> None:
    spec = mesh.resolve(fleet(tmp_path, two()), "a")

    assert spec is not None
    assert spec.wireguard is not None
    assert [peer.name for peer in spec.wireguard.peers] == ["b"]


def test_a_host_without_a_place_has_no_mesh_and_is_warned_of(tmp_path: Path) -> None:
    text = NETWORK + "hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2, mesh: {address: 10.77.0.2}}}"

    read, warnings = load_fleet_with_warnings(project(tmp_path, text).root, "test")

    assert mesh.resolve(read, "a") is None
    assert mesh.openings(read, "a") == ()
    assert [item.what for item in warnings] == [
        "a has no place in the mesh: others reach it at 10.0.0.1, in the open"
    ]


def test_a_port_is_open_to_those_who_dial_the_host(tmp_path: Path) -> None:
    read = fleet(tmp_path, WIDE)
    keys = Opening(51821, "udp", "fleet", "hosts that say they know a new key")

    assert mesh.openings(read, "edge") == (Opening(51820, "udp", "world", "mesh"), keys)
    assert mesh.openings(read, "gpu1") == (Opening(51820, "udp", "site", "mesh"), keys)
    assert mesh.openings(read, "gpu3") == (keys,)


def test_hosts_and_models_have_names_in_the_mesh(tmp_path: Path) -> None:
    text = NETWORK + (
        "hosts:\n  edge: {address: 10.0.0.1, roles: [gateway], mesh: {address: 10.77.0.1}}\n"
        "  gpu1: {address: 10.0.0.2, roles: [models], mesh: {address: 10.77.0.2}}\n"
        "  old: {address: 10.0.0.3}\n"
        "placements: {chat: [{host: gpu1, devices: [cpu]}]}\n"
    )

    assert system.resolve(fleet(tmp_path, text), "gpu1").names == (
        "10.0.0.3 old.stack.internal old",
        "10.77.0.1 chat.stack.internal",
        "10.77.0.1 edge.stack.internal edge",
        "10.77.0.2 gpu1.stack.internal gpu1",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "hosts: {a: {address: 10.0.0.1, mesh: {address: 10.77.0.1}}}",
            (
                "2 `hosts.a.mesh` is given, but the environment has no mesh"
                " | write `network: {mesh: {subnet: 10.77.0.0/24}}`"
            ),
        ),
        (
            two().replace("10.77.0.2", "10.78.0.2"),
            "5 10.78.0.2 is not in the mesh's 10.77.0.0/24 | choose a free address in 10.77.0.0/24",
        ),
        (
            two().replace("10.77.0.2", "10.77.0.255"),
            (
                "5 10.77.0.255 stands for all of 10.77.0.0/24, not for a host"
                " | choose a free address in 10.77.0.0/24"
            ),
        ),
        (
            two().replace("10.77.0.2", "10.77.0.1"),
            "5 10.77.0.1 is already a's address in the mesh | choose a free address in 10.77.0.0/24",
        ),
        (
            two().replace("10.0.0.2", "10.77.0.9"),
            (
                "5 10.77.0.9 is b's own address, within the mesh's 10.77.0.0/24"
                " | choose a subnet for the mesh that is nowhere else, such as 10.77.0.0/24"
            ),
        ),
        (
            two(", endpoints: [a.example.com]"),
            (
                "4 a.example.com is a name: a host that cannot look it up at boot has no mesh, and waits for it"
                " | write its address"
            ),
        ),
        (
            two(", endpoints: [10.77.0.200]"),
            (
                "4 10.77.0.200 is where a is dialled from outside, within the mesh's 10.77.0.0/24"
                " | choose a subnet for the mesh that is nowhere else, such as 10.77.0.0/24"
            ),
        ),
        (
            two().replace("address: 10.0.0.2,", "address: 10.0.0.2, docker: {address_pool: 10.77.0.0/16},"),
            (
                "5 10.77.0.0/16 is for b's containers, within the mesh's 10.77.0.0/24"
                " | choose a subnet for the mesh that is nowhere else, such as 10.77.0.0/24"
            ),
        ),
        (
            two(", routes: [10.77.0.128/25]"),
            (
                "4 10.77.0.128/25 overlaps the mesh's own 10.77.0.0/24"
                " | name networks that are behind this host alone"
            ),
        ),
        (
            two(", routes: [172.30.0.0/16]", ", routes: [172.30.2.0/24]"),
            (
                "5 172.30.2.0/24 overlaps 172.30.0.0/16, which is behind a"
                " | name networks that are behind this host alone"
            ),
        ),
        (
            two(", routes: [10.0.0.0/24]"),
            (
                "4 10.0.0.0/24 holds 10.0.0.1, a's own address, and would hide it"
                " | name networks that are behind this host alone"
            ),
        ),
        (
            two(", routes: [172.30.0.0/16]").replace(
                "address: 10.0.0.2,", "address: 10.0.0.2, docker: {address_pool: 172.30.0.0/20},"
            ),
            (
                "4 172.30.0.0/16 overlaps 172.30.0.0/20, from which b's own containers are given addresses"
                " | give the two hosts pools of their own, `hosts.b.docker.address_pool`"
            ),
        ),
        (
            two(", nat: true", ", nat: true"),
            (
                "5 `hosts.b.mesh.nat` is behind a NAT and so is a: neither can dial the other, and there is no hub"
                " | write `hub: true` for a host that both reach, or one `site` for both where they share a network"
            ),
        ),
        (
            two(", nat: true, hub: true"),
            (
                "4 `hosts.a.mesh` is a hub behind a NAT, where nobody reaches it"
                " | make a host with an address of its own the hub"
            ),
        ),
        (
            two(", endpoints: [203.0.113.5]", ", endpoints: [203.0.113.5]"),
            (
                "5 203.0.113.5 is already where a is dialled, and both listen on the mesh's one port"
                " | hosts behind one router: `nat: true` for all but one, and one `site` for them"
            ),
        ),
        (
            two().replace("/24}", "/24, preshared: master}"),
            (
                "2 `master` is not one of this environment's `secrets`"
                " | run `stackctl secrets set master` and name it there"
            ),
        ),
        (
            two().replace(
                "address: 10.0.0.2,",
                "address: 10.0.0.2, wan: {uplinks: [{name: x, interface: e0},"
                " {name: y, interface: e1, mtu: 1300}]},",
            ),
            (
                "5 `hosts.b.wan.uplinks.1.mtu` is 1300: the mesh's least packet of 1280 bytes needs 1360"
                " | take this uplink out, or have its provider raise the size"
            ),
        ),
        (
            NETWORK
            + "hosts: {chat: {address: 10.0.0.1, roles: [gateway, models], mesh: {address: 10.77.0.1}}}\n"
            "placements: {chat: [{host: chat, devices: [cpu]}]}",
            (
                "4 `chat` is also a host, and chat.stack.internal can lead to one of them alone"
                " | call the model or the host otherwise"
            ),
        ),
    ],
)
def test_what_cannot_work_is_told_with_a_way_out(tmp_path: Path, text: str, expected: str) -> None:
    assert f"test.yaml:{expected}" in complaints(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            two(", nat: true, endpoints: [203.0.113.5]"),
            "`hosts.a.mesh.endpoints` is given, but nobody dials a host behind a NAT",
        ),
        (
            two(", hub: true", ", hub: true"),
            "b passes nothing on as long as a is a hub: hosts behind NATs use the first by name",
        ),
        (
            two().replace("/24}", "/24, tailscale: {auth_key: x}}"),
            "`network.mesh.tailscale` is given, but the backend is `wireguard`",
        ),
    ],
)
def test_what_may_be_meant_is_a_warning(tmp_path: Path, text: str, expected: str) -> None:
    _, warnings = load_fleet_with_warnings(project(tmp_path, text).root, "test")

    assert [item.what for item in warnings] == [expected]
