"""What a host is told of a mesh by Tailscale, and what stands in its way."""

from pathlib import Path

from stackctl.capabilities import load_fleet, mesh
from stackctl.core.opening import Opening
from stackctl.mesh import tailscale
from stackctl.mesh.tailscale import Source, TailscaleSpec
from stackctl.render import job
from tests.expected import expect_files, files_of
from tests.inventory import complaints, fleet, project

HOSTS = """\
hosts:
  edge: {address: 203.0.113.10, roles: [gateway], mesh: {address: 100.64.0.11, nat: true}}
  gpu1: {address: 10.0.0.12, os: ubuntu-24.04, mesh: {address: 100.64.0.12, routes: [172.30.1.0/24]}}
"""


def mesh_of(
    settings: str = "auth_key: ts", secrets: str = "{ts: 'env:TS'}", subnet: str = "100.64.0.0/24"
) -> str:
    mesh = f"{{subnet: {subnet}, backend: tailscale, tailscale: {{{settings}}}}}"
    return f"network: {{mesh: {mesh}}}\nsecrets: {secrets}\n{HOSTS}"


def resolved(folder: Path, environment: str, host: str) -> TailscaleSpec:
    return tailscale.resolve(fleet(folder, environment), host)


def test_a_host_joins_the_vendors_server_from_the_vendors_packages(tmp_path: Path) -> None:
    spec = resolved(tmp_path, mesh_of(), "gpu1")

    assert spec.server == "https://controlplane.tailscale.com"
    assert spec.source == Source(
        "https://pkgs.tailscale.com/stable/ubuntu",
        "https://pkgs.tailscale.com/stable/ubuntu/noble.noarmor.gpg",
        "2596A99EAAB33821893C0A79458CA832957F5868",
        "noble",
        ("main",),
    )


def test_a_server_and_a_copy_of_the_packages_may_be_your_own(tmp_path: Path) -> None:
    fingerprint = "A" * 40
    own = (
        f"login_server: 'https://hs.lan', repository: {{url: 'http://m.lan/ts', fingerprint: {fingerprint}}}"
    )

    environment = mesh_of(f"auth_key: ts, {own}", subnet="10.77.0.0/24").replace("100.64.0.", "10.77.0.")
    spec = resolved(tmp_path, environment, "edge")

    assert spec.server == "https://hs.lan"
    assert spec.source == Source(
        "http://m.lan/ts", "http://m.lan/ts/trixie.noarmor.gpg", fingerprint, "/", ()
    )


def test_a_host_offers_what_is_behind_it_and_others_take_it(tmp_path: Path) -> None:
    read = fleet(tmp_path, mesh_of())

    found = {host: tailscale.resolve(read, host) for host in ("edge", "gpu1")}

    assert (found["gpu1"].routes, found["gpu1"].accepts) == (("172.30.1.0/24",), False)
    assert (found["edge"].routes, found["edge"].accepts) == ((), True)


def test_the_daemon_is_started_with_the_meshs_port_and_interface(tmp_path: Path) -> None:
    found = project(tmp_path, mesh_of())
    made = job(load_fleet(found.root, "test"), found, "gpu1")

    expect_files("mesh/tailscale/gpu1", files_of(made, "mesh"))


def test_only_hosts_that_can_be_dialled_open_the_port(tmp_path: Path) -> None:
    read = fleet(tmp_path, mesh_of())

    assert mesh.openings(read, "gpu1") == (Opening(51820, "udp", "world", "mesh"),)
    assert mesh.openings(read, "edge") == ()


def test_all_that_is_wrong_is_told_with_a_way_out(tmp_path: Path) -> None:
    uplinks = "wan: {uplinks: [{name: a, interface: wan1}, {name: b, interface: wan2}]}"
    wrong = mesh_of(secrets="{tse: 'env:TS'}", subnet="10.77.0.0/24").replace(
        "edge: {", f"edge: {{{uplinks}, "
    )

    told = complaints(tmp_path, wrong)

    assert (
        "test.yaml:2 `network.mesh.subnet` is 10.77.0.0/24, and Tailscale's server gives addresses of 100.64.0.0/10 alone"
        " | write a network within that, such as 100.64.0.0/10 itself, or the `login_server` of a Headscale"
    ) in told
    assert "test.yaml:2 `ts` is not one of this environment's `secrets` | did you mean `tse`?" in told
    assert (
        "test.yaml:5 `hosts.edge.wan` has uplinks of its own, whose routes come before those that Tailscale keeps in a"
        " table apart | leave `wan` out on this host, or write `network.mesh.backend: wireguard`"
    ) in told
