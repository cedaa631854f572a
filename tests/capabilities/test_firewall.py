"""What a host lets in: its capabilities' ports, for whom they are meant, and what is wrong with what was written."""

import subprocess
from pathlib import Path

import pytest

from stackctl.capabilities import firewall, load_fleet, load_fleet_with_warnings
from stackctl.capabilities.firewall import FirewallSpec
from stackctl.core.rule import marks
from stackctl.render import job
from tests.expected import GOLDEN, expect_files, files_of
from tests.inventory import complaints, fleet, project

PLACEMENTS = "placements: {chat: [{host: gpu1, devices: [cpu]}]}\n"
LAN = f"""\
hosts:
  edge: {{address: 10.0.0.11, roles: [gateway], firewall: {{management: [10.9.0.0/24], outside: [eth1]}}}}
  gpu1:
    address: 10.0.0.12
    roles: [models]
    firewall: FIREWALL
{PLACEMENTS}"""
MESH = f"""\
network: {{mesh: {{backend: existing, interface: mesh0, subnet: 10.77.0.0/24}}}}
hosts:
  edge: {{address: 10.0.0.11, roles: [gateway], mesh: {{address: 10.77.0.11}}}}
  gpu1:
    address: 10.0.0.12
    roles: [models]
    mesh: {{address: 10.77.0.12, hub: true, routes: [172.30.0.0/16]}}
    firewall: FIREWALL
{PLACEMENTS}"""
PLAIN = "{management: [10.9.0.0/24], outside: [wan1, wan2]}"


def spec(folder: Path, text: str, settings: str = PLAIN, host: str = "gpu1") -> FirewallSpec:
    found = firewall.resolve(fleet(folder, text.replace("FIREWALL", settings)), host)
    assert found is not None
    return found


def let_in(found: FirewallSpec) -> list[str]:
    """Ports, for whom and from where, as a person would say it."""
    told = []
    for rule in found.rules:
        by = [f" by {source.interface}" if source.interface else "" for source in rule.sources or ()]
        listed = [
            f"{source.name} {source.network}{way}" for source, way in zip(rule.sources or (), by, strict=True)
        ]
        told.append(f"{rule.name} {rule.reason}: {', '.join(listed) or rule.audience}")
    return told


def test_a_host_without_the_setting_is_left_as_it_is(tmp_path: Path) -> None:
    assert firewall.resolve(fleet(tmp_path, MESH.replace("FIREWALL", PLAIN)), "edge") is None


def test_a_capability_s_ports_are_let_in_for_whom_they_are_meant(tmp_path: Path) -> None:
    assert let_in(spec(tmp_path, LAN)) == [
        "22/tcp ssh: management 10.9.0.0/24",
        "7980/tcp drained replicas: edge 10.0.0.11/32",
        "8000/tcp replica of chat: edge 10.0.0.11/32",
    ]


def test_in_a_mesh_hosts_are_let_in_by_its_interface_alone(tmp_path: Path) -> None:
    assert let_in(spec(tmp_path, MESH)) == [
        "22/tcp ssh: mesh 10.77.0.0/24 by mesh0, management 10.9.0.0/24",
        "7980/tcp drained replicas: edge 10.77.0.11/32 by mesh0",
        "8000/tcp replica of chat: edge 10.77.0.11/32 by mesh0",
    ]


def test_behind_a_nat_hosts_of_one_site_dial_each_other_beneath_the_mesh(tmp_path: Path) -> None:
    nat = "mesh: {address: 10.77.0.NUMBER, nat: true, site: hall}"
    text = f"""\
network: {{mesh: {{subnet: 10.77.0.0/24}}}}
hosts:
  edge: {{address: 10.1.0.11, mesh: {{address: 10.77.0.11}}}}
  gpu1: {{address: 10.0.0.12, {nat.replace("NUMBER", "12")}, firewall: FIREWALL}}
  gpu2: {{address: 10.0.0.13, {nat.replace("NUMBER", "13")}}}
"""

    assert "51820/udp mesh: gpu2 10.0.0.13/32" in let_in(spec(tmp_path, text))


def test_a_gateway_without_a_mesh_is_for_the_hosts_for_clients_and_for_operators(tmp_path: Path) -> None:
    text = LAN.replace("outside: [eth1]", "outside: [eth1], clients: [10.5.0.0/16]")

    assert let_in(spec(tmp_path, text, host="edge")) == [
        "22/tcp ssh: management 10.9.0.0/24",
        "8080/tcp models' URLs: gpu1 10.0.0.12/32, clients 10.5.0.0/16, management 10.9.0.0/24",
        "8404/tcp gateway's metrics: management 10.9.0.0/24",
    ]


def test_logins_from_the_mesh_alone_leave_the_networks_out(tmp_path: Path) -> None:
    found = spec(tmp_path, MESH, "{ssh: mesh, management: [10.9.0.0/24]}")

    assert let_in(found)[0] == "22/tcp ssh: mesh 10.77.0.0/24 by mesh0"


def test_ports_of_others_are_let_in_for_those_who_are_written(tmp_path: Path) -> None:
    settings = """
      management: [10.9.0.0/24]
      open:
        - {ports: [9100, 9400], sources: [management, edge, 10.8.0.4], reason: exporters}
        - {ports: [5353], protocol: udp, sources: [10.8.0.4, anywhere], reason: a game}
"""

    assert let_in(spec(tmp_path, LAN, settings)) == [
        "22/tcp ssh: management 10.9.0.0/24",
        "5353/udp a game: everybody",
        "7980/tcp drained replicas: edge 10.0.0.11/32",
        "8000/tcp replica of chat: edge 10.0.0.11/32",
        "9100/tcp exporters: management 10.9.0.0/24, edge 10.0.0.11/32,  10.8.0.4/32",
        "9400/tcp exporters: management 10.9.0.0/24, edge 10.0.0.11/32,  10.8.0.4/32",
    ]


def test_a_host_by_the_name_of_everybody_is_one_host(tmp_path: Path) -> None:
    text = LAN.replace("  edge:", "  everybody:")
    settings = (
        "{management: [10.9.0.0/24], open: [{ports: [9100], sources: [everybody], reason: node exporter}]}"
    )

    assert let_in(spec(tmp_path, text, settings))[3] == "9100/tcp node exporter: everybody 10.0.0.11/32"


def test_uplinks_are_outside_without_being_written_again(tmp_path: Path) -> None:
    wan = "wan: {uplinks: [{name: fibre, interface: wan1}, {name: lte, interface: wan2}]}"
    text = LAN.replace("    firewall: FIREWALL", f"    {wan}\n    firewall: FIREWALL")

    found = spec(tmp_path, text, "{management: [10.9.0.0/24], outside: [wan3]}")

    assert found.outside == {"wan1": "fibre", "wan2": "lte", "wan3": ""}


def test_the_file_tells_its_rules_to_programs_too(tmp_path: Path) -> None:
    text = MESH.replace("FIREWALL", PLAIN)
    found = project(tmp_path, text)
    read = load_fleet(found.root, "test")

    files = files_of(job(read, found, "gpu1"), "firewall")

    told = firewall.resolve(read, "gpu1")
    assert told is not None
    assert marks(files[firewall.RULES_FILE.lstrip("/")]) == told.rules


@pytest.mark.parametrize(
    ("name", "text", "settings"),
    [
        ("lan", LAN, PLAIN),
        ("mesh", MESH, "{ssh: mesh, outside: [wan1], ping: false}"),
        (
            "own",
            LAN,
            (
                "{management: [10.9.0.0/24, 10.9.0.128/25], open: [{ports: [53], protocol: udp, sources: [anywhere],"
                " reason: names}, {ports: [9100], sources: [edge], reason: node exporter}]}"
            ),
        ),
    ],
)
def test_the_files_are_as_reviewed_and_nft_reads_them(
    tmp_path: Path, name: str, text: str, settings: str
) -> None:
    found = project(tmp_path, text.replace("FIREWALL", settings))
    read, _ = load_fleet_with_warnings(found.root, "test")

    expect_files(f"firewall/{name}", files_of(job(read, found, "gpu1"), "firewall"))

    rules = GOLDEN / "firewall" / name / firewall.RULES_FILE.lstrip("/")
    judged = subprocess.run(
        ["unshare", "--map-root-user", "--net", "nft", "-c", "-f", str(rules)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (judged.returncode, judged.stderr) == (0, "")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            "{}",
            (
                "test.yaml:7 `hosts.gpu1.firewall` names no network that operators come from"
                " | list them in `management`"
            ),
        ),
        (
            "{ssh: mesh}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.ssh` is `mesh`, and gpu1 is in no mesh | give it a place in"
                " `network.mesh` with its `mesh.address`, or list `management` networks"
            ),
        ),
        (
            "{management: [0.0.0.0/0]}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.management.0` is everybody"
                " | write the networks that operators and monitoring come from"
            ),
        ),
        (
            "{management: [10.9.0.0/24], clients: [127.0.0.0/8]}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.clients.0` is `127.0.0.0/8`, and nobody comes from there"
                " | write the networks that the gateway's clients come from"
            ),
        ),
        (
            "{management: [10.9.0.0/24], open: [{ports: [8000], sources: [edge], reason: mine}]}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.open.0.ports` has 8000/tcp, which is open already for serving,"
                " replica of chat | take it out: each port is declared once"
            ),
        ),
        (
            "{management: [10.9.0.0/24], open: [{ports: [22], sources: [edge], reason: mine}]}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.open.0.ports` has 22/tcp, which is open already for ssh"
                " | take it out: each port is declared once"
            ),
        ),
        (
            (
                "{management: [10.9.0.0/24], open: [{ports: [1], sources: [edge], reason: mine},"
                " {ports: [1], sources: [anywhere], reason: mine}]}"
            ),
            (
                "test.yaml:7 `hosts.gpu1.firewall.open.1.ports` has 1/tcp, which is open already for `open[0]`"
                " | take it out: each port is declared once"
            ),
        ),
        (
            "{management: [10.9.0.0/24], open: [{ports: [1], sources: [egde], reason: mine}]}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.open.0.sources.0` names `egde`, which is not a host"
                " | did you mean `edge`?"
            ),
        ),
        (
            "{management: [10.9.0.0/24], open: [{ports: [1], sources: [10.0.0.1/8], reason: mine}]}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.open.0.sources.0` is `10.0.0.1/8`, which is no network"
                " | write its first address, such as 10.0.0.0/24, or one address alone"
            ),
        ),
        (
            "{management: [10.9.0.0/24], open: [{ports: [1], sources: [mesh], reason: mine}]}",
            (
                "test.yaml:7 `hosts.gpu1.firewall.open.0.sources.0` is `mesh`, and gpu1 is in no mesh"
                " | name networks or hosts instead"
            ),
        ),
        (
            """{management: [10.9.0.0/24], open: [{ports: [1], sources: [edge], reason: 'a" accept #'}]}""",
            (
                'test.yaml:7 `hosts.gpu1.firewall.open.0.reason` cannot be `a" accept #`'
                " | write a few words that say what for, without quotes"
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_with_a_way_out(tmp_path: Path, settings: str, complaint: str) -> None:
    text = LAN.replace("FIREWALL", settings.replace("{", "{outside: [wan1], ", 1))

    assert complaints(tmp_path, text) == [complaint]


def test_a_model_that_is_in_no_catalogue_is_said_to_be_so_and_no_more(tmp_path: Path) -> None:
    text = LAN.replace("FIREWALL", PLAIN).replace("chat:", "chta:")

    assert complaints(tmp_path, text) == [
        "test.yaml:8 `chta` is not a model of the catalogue | did you mean `chat`?"
    ]


def test_the_mesh_s_interface_is_not_outside(tmp_path: Path) -> None:
    text = MESH.replace("FIREWALL", "{ssh: mesh, outside: [mesh0]}")

    assert complaints(tmp_path, text) == [
        (
            "test.yaml:9 `hosts.gpu1.firewall.outside` has `mesh0`, which is the mesh's own interface"
            " | name interfaces towards the internet alone"
        )
    ]


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ("{management: [10.9.0.0/24]}", "`hosts.gpu1.firewall` knows of no way to the internet"),
        (
            "{management: [10.9.0.0/24], outside: [wan1], clients: [10.5.0.0/16]}",
            (
                "`hosts.gpu1.firewall.clients.0` is outside the mesh, and gpu1's gateway listens at its address"
                " in the mesh alone"
            ),
        ),
    ],
)
def test_what_may_be_meant_is_a_warning(tmp_path: Path, settings: str, warning: str) -> None:
    text = MESH.replace("[models]", "[models, gateway]").replace("FIREWALL", settings)
    found = project(tmp_path, text)

    _, warnings = load_fleet_with_warnings(found.root, "test")

    assert [item.what for item in warnings] == [warning]
