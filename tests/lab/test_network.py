from stackctl.lab.network import scripts, settings, strangers, wiring
from stackctl.lab.spec import LabSpec

SPEC = LabSpec.of("lab", {"edge": "10.89.0.11"})


def test_a_host_hangs_on_the_lan_and_on_both_isps() -> None:
    script = scripts(wiring(SPEC), {})["stackctl-lab-host-edge"]

    assert script == [
        "link add eth0 type veth peer name host11 netns stackctl-lab-lan",
        "link add wan1 type veth peer name host11 netns stackctl-lab-isp1",
        "link add wan2 type veth peer name host11 netns stackctl-lab-isp2",
    ]


def test_hosts_that_the_inventory_no_longer_has_like_this_are_told() -> None:
    seen = {"edge": "10.89.0.12", "old": "10.89.0.11", "half-made": None}

    assert [(finding.what, finding.hint) for finding in strangers(SPEC, seen)] == [
        (
            "its host `edge` is at 10.89.0.12, in the inventory at 10.89.0.11",
            "run `stackctl lab down lab` first",
        ),
        ("it has a host `half-made`, which the inventory has not", "run `stackctl lab down lab` first"),
        ("it has a host `old`, which the inventory has not", "run `stackctl lab down lab` first"),
    ]
    assert strangers(SPEC, {"edge": "10.89.0.11"}) == strangers(SPEC, {"edge": None}) == []


def test_what_exists_is_not_made_again() -> None:
    existing = {"stackctl-lab-host-edge": frozenset({"lo", "eth0", "wan2"})}

    script = scripts(wiring(SPEC), existing)["stackctl-lab-host-edge"]

    assert script == ["link add wan1 type veth peer name host11 netns stackctl-lab-isp1"]


def test_a_host_prefers_the_first_isp_and_has_no_way_out_through_the_lan() -> None:
    assert settings(wiring(SPEC))["stackctl-lab-host-edge"] == [
        "link set lo up",
        "link set eth0 up",
        "addr replace 10.89.0.11/24 dev eth0",
        "link set wan1 up",
        "addr replace 198.18.1.11/24 dev wan1",
        "route replace default via 198.18.1.1 dev wan1 metric 100",
        "link set wan2 up",
        "addr replace 198.18.2.11/24 dev wan2",
        "route replace default via 198.18.2.1 dev wan2 metric 200",
    ]


def test_the_internet_has_the_addresses_of_its_services() -> None:
    assert settings(wiring(SPEC))["stackctl-lab-internet"] == [
        "link set lo up",
        "link set internet up",
        "addr replace 198.18.0.10/24 dev internet",
        "addr replace 198.18.0.20/24 dev internet",
        "addr replace 198.18.0.53/24 dev internet",
        "link set isp1 master internet up",
        "link set isp2 master internet up",
    ]


def test_no_interface_name_is_longer_than_the_kernel_allows() -> None:
    wanted = wiring(LabSpec.of("lab", {"x" * 24: "10.89.0.249"}))

    assert all(len(end.name) <= 15 for cable in wanted.cables for end in cable)
