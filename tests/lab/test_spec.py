import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab.spec import LabSpec, is_namespace_of


def test_a_host_gets_an_address_at_each_isp_from_its_address_on_the_lan() -> None:
    edge = LabSpec.of("lab", {"edge": "10.89.0.11"}).host("edge")

    assert str(edge.lan) == "10.89.0.11/24"
    assert [str(edge.wan(isp)) for isp in (1, 2)] == ["198.18.1.11/24", "198.18.2.11/24"]


def test_every_name_carries_the_name_of_the_lab() -> None:
    spec = LabSpec.of("blue", {"edge": "10.89.0.11"})

    assert spec.namespaces == (
        "stackctl-blue-lan",
        "stackctl-blue-isp1",
        "stackctl-blue-isp2",
        "stackctl-blue-internet",
        "stackctl-blue-operator",
        "stackctl-blue-host-edge",
    )
    assert str(spec.key) == "/var/lib/stackctl-lab/blue/id_ed25519"


@pytest.mark.parametrize(
    ("lab", "namespace", "belongs"),
    [
        ("lab", "stackctl-lab-lan", True),
        ("lab", "stackctl-lab-host-edge", True),
        ("lab", "stackctl-lab-two-lan", False),
        ("lab", "stackctl-lab-two-host-edge", False),
        ("lab-two", "stackctl-lab-two-host-edge", True),
        ("lab", "stackctl-lab", False),
        ("lab", "docker-lan", False),
    ],
)
def test_a_namespace_belongs_to_one_lab_only(lab: str, namespace: str, belongs: bool) -> None:
    assert is_namespace_of(lab, namespace) is belongs


@pytest.mark.parametrize("name", ["", "..", "../etc", "a-host", "x" * 25, "Lab"])
def test_a_name_that_could_reach_outside_its_lab_is_refused(name: str) -> None:
    with pytest.raises(FindingsError, match="cannot name a lab"):
        LabSpec.of(name, {})


def test_all_hosts_that_cannot_be_are_told_at_once() -> None:
    addresses = {
        "a": "10.89.0.11",
        "b": "10.89.0.11",
        "c": "10.89.0.1",
        "d": "192.168.1.7",
        "e": "10.89.0.12",
    }

    with pytest.raises(FindingsError) as refused:
        LabSpec.of("lab", addresses, systems={"e": "ubuntu-24.04"})

    assert [(finding.where, finding.what) for finding in refused.value.findings] == [
        ("host b", "10.89.0.11 is already a's address"),
        ("host c", "`10.89.0.1` is not a host's address on the lab's LAN"),
        ("host d", "`192.168.1.7` is not a host's address on the lab's LAN"),
        ("lab lab", "host `e`: no `ubuntu-24.04` can be made here"),
    ]


def test_an_unknown_host_is_told_with_the_known_ones() -> None:
    with pytest.raises(FindingsError) as refused:
        LabSpec.of("lab", {"edge": "10.89.0.11", "gpu1": "10.89.0.12"}).host("gpu7")

    assert refused.value.findings[0].hint == "its hosts are edge, gpu1"
