"""A mesh that somebody else makes."""

from pathlib import Path

import pytest

from stackctl.capabilities import mesh
from stackctl.mesh.existing import ExistingSpec
from tests.inventory import complaints, fleet

MESH = """\
network: {mesh: {subnet: 10.77.0.0/24, backend: existing, interface: zt0}}
hosts:
"""
INSIDE = """\
  edge: {address: 203.0.113.10, mesh: {address: 10.77.0.11}}
"""
OUTSIDE = "  gpu1: {address: 10.0.0.12}\n"


def test_a_host_needs_the_interface_with_its_address_and_gets_nothing_of_ours(tmp_path: Path) -> None:
    read = fleet(tmp_path, MESH + INSIDE + OUTSIDE)

    spec = mesh.resolve(read, "edge")

    assert spec is not None
    assert spec.existing == ExistingSpec("zt0", "10.77.0.11")
    assert (mesh.templates(spec), mesh.openings(read, "edge")) == ((), ())
    assert mesh.resolve(read, "gpu1") is None


@pytest.mark.parametrize("more", ["hub: true", "routes: [172.30.1.0/24]"])
def test_a_host_that_passes_packets_on_does_so_after_a_boot_too(tmp_path: Path, more: str) -> None:
    spec = mesh.resolve(fleet(tmp_path, MESH + INSIDE.replace("10.77.0.11", f"10.77.0.11, {more}")), "edge")

    assert spec is not None
    assert [template.path for template in mesh.templates(spec)] == ["/etc/sysctl.d/61-stackctl-mesh.conf"]
    assert (spec.hub, spec.passes) == ((True, ()) if more.startswith("hub") else (False, ("172.30.1.0/24",)))


def test_the_interface_has_to_be_named(tmp_path: Path) -> None:
    assert complaints(tmp_path, MESH.replace(", interface: zt0", "") + OUTSIDE) == [
        (
            "test.yaml:2 `network.mesh` with `backend: existing` needs the name of an interface"
            " | write `interface:` and its name, as `ip link` shows it"
        )
    ]


UPLINKS = """\
  edge:
    address: 10.0.0.10
    mesh: {address: 10.77.0.11}
    wan:
      uplinks: [{name: fibre, interface: eth1, gateway: 192.0.2.1}, {name: lte, interface: eth2}]
  gpu1: {address: 10.0.0.12, mesh: {address: 10.77.0.12}}
"""


def test_uplinks_beside_an_interface_of_tailscales_are_warned_of(tmp_path: Path) -> None:
    read = fleet(tmp_path, MESH.replace("zt0", "tailscale0") + UPLINKS)

    [problem] = mesh.check(read)

    assert problem.severity == "warning"
    assert (problem.what, problem.hint) == (
        (
            "`hosts.edge.wan` has uplinks of its own, and what is for others in the mesh leaves by them:"
            " their routes come before Tailscale's"
        ),
        "have the main table route 10.77.0.0/24 to tailscale0, or leave `wan` out on this host",
    )


def test_uplinks_beside_another_interface_are_not(tmp_path: Path) -> None:
    assert list(mesh.check(fleet(tmp_path, MESH + UPLINKS))) == []


@pytest.mark.parametrize("backend", ["nebula", "tailscale"])
def test_a_backend_has_settings_of_its_own(tmp_path: Path, backend: str) -> None:
    assert complaints(tmp_path, MESH.replace("existing", backend) + OUTSIDE) == [
        (
            f"test.yaml:2 `network.mesh` with `backend: {backend}` needs settings of that backend"
            f" | write `{backend}:` and what `stackctl schema` says of it"
        )
    ]
