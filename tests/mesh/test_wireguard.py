"""Who knows whom, whatever the fleet: every two hosts have a way, and a new host costs the others one peer."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.artifact import FileTemplate
from stackctl.mesh.ways import mtu_of
from stackctl.mesh.wireguard import Peer, check, config_file, resolve, templates
from stackctl.project import Project
from stackctl.render import _environment, artifact
from stackctl.schema.fleet import Fleet

ROOT = Path(__file__).parents[2]
SUBNET = IPv4Network("10.77.0.0/16")


def fleet_of(hosts: Mapping[str, Mapping[str, object]]) -> Fleet:
    """Hosts by name with what is said of their places; addresses are counted up."""
    return Fleet.model_validate(
        {
            "environment": "test",
            "network": {"mesh": {"subnet": SUBNET}},
            "hosts": {
                name: {
                    "address": IPv4Address("10.0.0.0") + 1 + index,
                    "mesh": {"address": SUBNET[1 + index], **place},
                }
                for index, (name, place) in enumerate(hosts.items())
            },
        }
    )


def rendered(fleet: Fleet, host: str) -> dict[str, str]:
    """Content by path of all files of a host."""
    environment = _environment(Project(ROOT))
    files: list[FileTemplate] = list(templates(resolve(fleet, host)))
    return {file.path: artifact(file, environment).content for file in files}


PLACES = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from([None, "east", "west"])), min_size=2, max_size=9
)


@given(PLACES)
def test_every_two_hosts_have_a_way_wherever_nothing_is_complained_of(
    places: list[tuple[bool, bool, str | None]],
) -> None:
    fleet = fleet_of(
        {f"h{index}": {"nat": nat, "hub": hub, "site": site} for index, (nat, hub, site) in enumerate(places)}
    )
    if any(problem.severity == "error" for problem in check(fleet)):
        return
    peers = {host: resolve(fleet, host).peers for host in fleet.hosts}

    for one in fleet.hosts:
        for other in fleet.hosts:
            if one != other:
                assert arrives(fleet, peers, one, other)


def arrives(fleet: Fleet, peers: Mapping[str, tuple[Peer, ...]], one: str, other: str) -> bool:
    """Whether a packet gets there, through one hub at most, each step by the most specific network."""
    here, place = one, fleet.hosts[other].mesh
    assert place is not None
    for _ in range(2):
        fitting = [
            (network.prefixlen, peer)
            for peer in peers[here]
            for network in peer.allowed
            if place.address in network
        ]
        if not fitting:
            return False
        _, peer = max(fitting, key=lambda item: item[0])
        [back] = [each for each in peers[peer.name] if each.name == here]
        if not peer.endpoints and not back.endpoints:
            return False
        here = peer.name
        if here == other:
            return True
    return False


@given(PLACES)
def test_two_hosts_know_each_other_or_neither_does(places: list[tuple[bool, bool, str | None]]) -> None:
    fleet = fleet_of(
        {f"h{index}": {"nat": nat, "hub": hub, "site": site} for index, (nat, hub, site) in enumerate(places)}
    )
    known = {(host, peer.name) for host in fleet.hosts for peer in resolve(fleet, host).peers}

    assert known == {(other, one) for one, other in known}


def test_one_more_host_costs_each_other_host_one_peer_and_nothing_else() -> None:
    hosts: dict[str, dict[str, object]] = {f"h{index:03}": {} for index in range(100)}
    before, after = fleet_of(hosts), fleet_of({**hosts, "new": {}})

    for host in hosts:
        old, new = rendered(before, host), rendered(after, host)
        [changed] = [path for path in new if new[path] != old.get(path)]
        assert changed == config_file("wg0")
        assert new[changed] == old[changed] + (
            "\n[Peer]\n# new, key 1\nPublicKey = <public key of new>\n"
            "AllowedIPs = 10.77.0.101/32\nEndpoint = 10.0.0.101:51820\n"
        )


def test_only_the_side_behind_a_nat_keeps_it_open() -> None:
    fleet = fleet_of({"edge": {}, "home": {"nat": True}})

    [there] = resolve(fleet, "home").peers
    [back] = resolve(fleet, "edge").peers
    assert (there.endpoints, there.keepalive) == (("10.0.0.1:51820",), 25)
    assert (back.endpoints, back.keepalive) == ((), None)


def test_hosts_of_a_site_meet_at_their_own_addresses_whatever_is_between_it_and_the_world() -> None:
    place = {"nat": True, "site": "home"}
    fleet = fleet_of({"a": place, "b": place})

    assert resolve(fleet, "a").peers[0].endpoints == ("10.0.0.2:51820",)
    assert resolve(fleet, "a").peers[0].keepalive is None


def test_what_is_dialled_first_is_what_is_written_first() -> None:
    places = (IPv4Address("203.0.113.5"), "b.example.com")
    fleet = fleet_of({"a": {}, "b": {"endpoints": places}})

    assert resolve(fleet, "a").peers[0].endpoints == ("203.0.113.5:51820", "b.example.com:51820")


@pytest.mark.parametrize(
    ("uplinks", "expected"), [((), 1420), ((1500, 1492), 1412), ((9000, 9000), 1420), ((1400, 1340), 1280)]
)
def test_packets_fit_the_smallest_uplink(uplinks: tuple[int, ...], expected: int) -> None:
    wan = {"uplinks": [{"name": f"u{n}", "interface": f"e{n}", "mtu": mtu} for n, mtu in enumerate(uplinks)]}
    fleet = Fleet.model_validate_json(
        '{"environment": "test", "hosts": {"a": {"address": "10.0.0.1"'
        + (f', "wan": {str(wan).replace(chr(39), chr(34))}' if uplinks else "")
        + "}}}"
    )

    assert mtu_of(fleet.hosts["a"]) == expected
