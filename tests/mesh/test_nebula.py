"""What a host is told of a mesh by nebula, and what stands in its way."""

from pathlib import Path
from textwrap import indent

import pytest

from stackctl.capabilities import load_fleet, mesh
from stackctl.core.opening import Opening
from stackctl.mesh import nebula
from stackctl.mesh.nebula import Hub, NebulaSpec, Route
from stackctl.render import job
from tests.expected import expect_files, files_of
from tests.inventory import complaints, fleet, project
from tests.mesh.authorities import EDGE, FLEET, NARROW, OTHER_CURVE

HOSTS = """\
hosts:
  edge: {address: 203.0.113.10, roles: [gateway], mesh: {address: 10.77.0.11, hub: true, endpoints: [198.51.100.7, edge.example.com]}}
  gpu1: {address: 10.0.0.12, roles: [models], mesh: {address: 10.77.0.12, nat: true, groups: [trusted], routes: [172.30.1.0/24]}}
  gpu2: {address: 10.0.0.13, mesh: {address: 10.77.0.13, nat: true}}
"""


def mesh_of(hosts: str = HOSTS, authority: str = FLEET, secrets: str = "{mesh-ca: 'file:ca.key'}") -> str:
    """An environment with such a mesh; its hosts begin in line 9 of a text of one line each."""
    return (
        "network:\n  mesh:\n    subnet: 10.77.0.0/24\n    backend: nebula\n    nebula:\n      key: mesh-ca\n"
        f"      authority: |\n{indent(authority, ' ' * 8)}secrets: {secrets}\n{hosts}"
    )


def resolved(folder: Path, environment: str, host: str) -> NebulaSpec:
    return nebula.resolve(fleet(folder, environment), host)


def test_a_host_knows_the_hubs_alone(tmp_path: Path) -> None:
    spec = resolved(tmp_path, mesh_of(), "gpu2")

    assert spec.hubs == (Hub("edge", "10.77.0.11", ("198.51.100.7:51820", "edge.example.com:51820")),)


def test_adding_a_host_changes_nothing_on_the_others(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    more = f"{HOSTS}  gpu3: {{address: 10.0.0.14, mesh: {{address: 10.77.0.14}}}}\n"

    for host in ("edge", "gpu1", "gpu2"):
        (tmp_path / host).mkdir()
        (tmp_path / "more" / host).mkdir()
        before = resolved(tmp_path / host, mesh_of(), host)
        assert resolved(tmp_path / "more" / host, mesh_of(more), host) == before


def test_a_hub_asks_the_other_hubs_and_reports_to_none(tmp_path: Path) -> None:
    hosts = f"{HOSTS}  edge2: {{address: 203.0.113.11, mesh: {{address: 10.77.0.21, hub: true}}}}\n"
    found = project(tmp_path, mesh_of(hosts))
    made = job(load_fleet(found.root, "test"), found, "edge")

    expect_files("mesh/nebula/hub", files_of(made, "mesh"))


def test_a_host_behind_a_nat_is_reached_through_the_hubs(tmp_path: Path) -> None:
    revoked = f"      revoked: [{'0f' * 32}]\n"
    found = project(tmp_path, mesh_of().replace("key: mesh-ca\n", f"key: mesh-ca\n{revoked}"))
    made = job(load_fleet(found.root, "test"), found, "gpu2")

    expect_files("mesh/nebula/nat", files_of(made, "mesh"))


def test_its_certificate_is_to_name_its_roles_its_groups_and_what_is_behind_it(tmp_path: Path) -> None:
    spec = resolved(tmp_path, mesh_of(), "gpu1")

    assert (spec.address, spec.groups, spec.subnets) == (
        "10.77.0.12/24",
        ("models", "trusted"),
        ("172.30.1.0/24",),
    )
    assert spec.routes == ()


def test_networks_behind_a_host_are_reached_through_it(tmp_path: Path) -> None:
    assert resolved(tmp_path, mesh_of(), "edge").routes == (Route("172.30.1.0/24", "10.77.0.12"),)


def test_the_least_uplink_of_a_host_sets_the_size_of_its_packets(tmp_path: Path) -> None:
    uplinks = "wan: {uplinks: [{name: a, interface: wan1, mtu: 1492}, {name: b, interface: wan2}]}"
    hosts = HOSTS.replace("gpu2: {", f"gpu2: {{{uplinks}, ")

    assert resolved(tmp_path, mesh_of(hosts), "gpu2").mtu == 1400


def test_hosts_of_one_site_ask_their_hub_there(tmp_path: Path) -> None:
    hosts = HOSTS.replace("hub: true", "hub: true, site: here").replace(
        "10.77.0.13,", "10.77.0.13, site: here,"
    )

    spec = resolved(tmp_path, mesh_of(hosts), "gpu2")

    assert spec.hubs[0].endpoints == (
        "203.0.113.10:51820",
        "198.51.100.7:51820",
        "edge.example.com:51820",
    )


def test_certificates_that_were_taken_back_are_named_to_every_host(tmp_path: Path) -> None:
    wrong, right = "f" * 64, "0" * 64
    environment = mesh_of().replace("key: mesh-ca", f"key: mesh-ca\n      revoked: [{wrong}, '{right}']")

    assert resolved(tmp_path, environment, "edge").revoked == (right, wrong)


def test_only_hosts_that_can_be_dialled_open_the_port(tmp_path: Path) -> None:
    read = fleet(tmp_path, mesh_of())

    assert mesh.openings(read, "edge") == (Opening(51820, "udp", "world", "mesh"),)
    assert mesh.openings(read, "gpu1") == ()


def test_no_file_holds_the_authoritys_key(tmp_path: Path) -> None:
    found = project(tmp_path, mesh_of())
    made = job(load_fleet(found.root, "test"), found, "edge")

    assert [
        file.path for part in made.parts if part.capability == "mesh" for file in part.files if file.secrets
    ] == []


def test_all_that_is_wrong_is_told_with_a_way_out(tmp_path: Path) -> None:
    hosts = HOSTS.replace("gpu2: {", "gpu2: {os: ubuntu-22.04, ").replace("hub: true, ", "")

    assert complaints(tmp_path, mesh_of(hosts, secrets="{mesh-key: 'file:ca.key'}")) == [
        (
            "test.yaml:3 `network.mesh` has no hub, which hosts ask for each other with the backend `nebula`"
            " | write `hosts.edge.mesh.hub: true`, or for another host that all others reach"
        ),
        "test.yaml:7 `mesh-ca` is not one of this environment's `secrets` | did you mean `mesh-key`?",
        (
            "test.yaml:18 `hosts.gpu2.os` is ubuntu-22.04, which has no package `nebula`"
            " | install ubuntu-24.04 or Debian, or write `network.mesh.backend: wireguard`"
        ),
    ]


def test_a_hub_that_nobody_reaches_is_none(tmp_path: Path) -> None:
    assert complaints(tmp_path, mesh_of(HOSTS.replace("hub: true", "hub: true, nat: true"))) == [
        (
            "test.yaml:16 `hosts.edge.mesh.nat` is true of a hub, and 2 hosts, as gpu1, can ask no other"
            " | make a hub of a host that all others reach, or let the mesh's UDP port through to this one and write"
            " `nat: false`"
        )
    ]


def test_an_authority_signs_within_its_limits_alone(tmp_path: Path) -> None:
    hosts = HOSTS.replace("172.30.1.0/24", "172.31.0.0/24").replace("[trusted]", "[trusted, guests]")
    wide = mesh_of(hosts, NARROW).replace("subnet: 10.77.0.0/24", "subnet: 10.76.0.0/15")

    addresses = [
        f"test.yaml:{line} `hosts.{host}.mesh.address` is 10.77.0.{number} in 10.76.0.0/15, and the authority `narrow`"
        " signs for 10.77.0.0/16 | choose `network.mesh.subnet` within that, or make an authority with other `-ips`"
        for line, host, number in ((17, "edge", 11), (18, "gpu1", 12), (19, "gpu2", 13))
    ]
    assert sorted(complaints(tmp_path, wide)) == [
        addresses[0],
        (
            "test.yaml:18 `guests` is none of the groups that the authority `narrow` signs for"
            " | it signs for gateway, models, trusted; make an authority with other `-groups`"
        ),
        addresses[1],
        (
            "test.yaml:18 `hosts.gpu1.mesh.routes` names 172.31.0.0/24, and the authority `narrow` signs for 172.30.0.0/16"
            " | leave it out, or make an authority with other `-subnets`"
        ),
        addresses[2],
    ]


@pytest.mark.parametrize(
    ("authority", "what", "hint"),
    [
        (
            "no certificate\n",
            "holds no certificate of nebula's",
            "write the whole text of the authority's `ca.crt` as a block: `authority: |`, then its lines indented",
        ),
        (
            EDGE,
            "holds the certificate of `edge`, which is no authority",
            "write the text of `ca.crt`, as `nebula-cert ca` made it",
        ),
        (
            OTHER_CURVE,
            "`other` is of the curve P256, which not all systems' nebula knows",
            "make the authority with `nebula-cert ca` and no `-curve`",
        ),
        (
            FLEET.replace("CERTIFICATE", "CERTIFICATE V2"),
            "is of version 2, which the nebula of Debian and Ubuntu does not read",
            "make the authority with `nebula-cert ca -version 1`",
        ),
        (
            FLEET.replace("NEBULA CERTIFICATE", "NEBULA ED25519 PRIVATE KEY"),
            "holds a private key",
            "take it out, make another authority, and write its `ca.crt` here; the key is a secret",
        ),
    ],
)
def test_what_is_no_authority_is_told(tmp_path: Path, authority: str, what: str, hint: str) -> None:
    [told] = complaints(tmp_path, mesh_of(authority=authority))

    assert told == f"test.yaml:8 `network.mesh.nebula.authority` {what} | {hint}"
