"""Each finding beside the line it is about: uplinks that cannot work beside each other are found before a host is touched."""

from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet_with_warnings
from stackctl.core.finding import FindingsError
from tests.inventory import project

A = "{name: a, interface: w1, gateway: 192.0.2.1}"
B = "{name: b, interface: w2, gateway: 198.51.100.1}"


def found(folder: Path, *uplinks: str, settings: str = "", more: str = "") -> list[str]:
    """Findings on a host whose uplinks stand in line 6 and after, one each; its other settings follow them."""
    lines = "".join(f"      - {uplink}\n" for uplink in uplinks)
    rest = "".join(f"      {line}\n" for line in settings.splitlines())
    text = f"hosts:\n  h:\n    address: 10.0.0.1\n    wan:\n     uplinks:\n{lines}{rest.replace('      ', '     ')}{more}"
    root = project(folder, text).root
    try:
        findings = load_fleet_with_warnings(root, "test")[1]
    except FindingsError as error:
        findings = error.findings
    return [
        f"{item.where.removeprefix('inventory/test.yaml:')} {item.severity} {item.what} | {item.hint}"
        for item in findings
    ]


def test_two_uplinks_to_two_providers_are_fine(tmp_path: Path) -> None:
    assert found(tmp_path, A, B) == []


def test_a_host_needs_more_than_one_uplink(tmp_path: Path) -> None:
    assert found(tmp_path, A) == [
        (
            "5 error `hosts.h.wan` needs two or more `uplinks`"
            " | add another, or write `uplinks: []` to have none managed any more"
        )
    ]


@pytest.mark.parametrize(
    ("second", "finding"),
    [
        (
            "{name: a, interface: w2}",
            "8 error `a` is already another uplink's name | give every uplink a name of its own",
        ),
        (
            "{name: b, interface: w2, priority: 5}",
            "7 error `hosts.h.wan.uplinks.0` has no `priority`, and others have one | give every uplink one, or none",
        ),
        (
            "{name: b, interface: w1, gateway: 192.0.2.1}",
            (
                "8 error `a` and `b` are on w1 and have the same gateway, 192.0.2.1"
                " | write another `gateway`, or keep one of the two"
            ),
        ),
        (
            "{name: b, interface: w1}",
            (
                "8 error `a` and `b` are on w1, where one of two gateways cannot be `auto`"
                " | write the address of each one's `gateway`"
            ),
        ),
        (
            "{name: b, interface: w1, gateway: 192.0.2.2, gateway6: auto}",
            ("8 error `a` and `b` are on w1, where `gateway6` cannot be `auto` | write the address of each"),
        ),
        (
            "{name: b, interface: w2, gateway: 198.51.100.1, address: 203.0.113.9/24}",
            (
                "8 error 198.51.100.1 is not in 203.0.113.0/24, the network of the uplink's address"
                " | correct `gateway`, or the `address` and its length"
            ),
        ),
        (
            "{name: b, interface: w2, gateway: 198.51.100.1, address: 198.51.100.1/24}",
            "8 error 198.51.100.1 is the host's own address on this uplink | write the router's address",
        ),
        (
            "{name: b, interface: w2, mtu: 1280}",
            (
                "8 warning `hosts.h.wan.uplinks.1.mtu` is 1280, too small for a mesh, which needs 1360"
                " | correct it, or have its provider raise it"
            ),
        ),
        (
            "{name: b, interface: w2, gateway: router}",
            "8 error `hosts.h.wan.uplinks.1.gateway` cannot be `router` | write an IPv4 address, or `auto`",
        ),
        (
            "{name: b, interface: w2, gateway6: 10.0.0.1}",
            "8 error `hosts.h.wan.uplinks.1.gateway6` cannot be `10.0.0.1` | write an IPv6 address, or `auto`",
        ),
        (
            "{name: b, interface: w2, address: 198.51.100.1/33}",
            (
                "8 error `hosts.h.wan.uplinks.1.address` cannot be `198.51.100.1/33`"
                " | write an IPv4 address, such as `192.0.2.11/24`"
            ),
        ),
        (
            "{name: b, interface: eth 0}",
            (
                "8 error `hosts.h.wan.uplinks.1.interface` cannot be `eth 0`"
                " | write a network interface as `ip link` names it, 15 characters at most"
            ),
        ),
    ],
)
def test_an_uplink_that_does_not_go_with_the_first_is_found(
    tmp_path: Path, second: str, finding: str
) -> None:
    assert found(tmp_path, A, second) == [finding]


@pytest.mark.parametrize(
    ("first", "second", "finding"),
    [
        (
            "192.0.2.11/24",
            "192.0.2.12/25",
            (
                "8 error 192.0.2.0/25 overlaps with `a`'s network, 192.0.2.0/24"
                " | give one of the two routers another network for its side of the host"
            ),
        ),
        (
            "192.0.2.11",
            "192.0.2.11",
            "8 error 192.0.2.11 is already `a`'s address | give every uplink an address of its own",
        ),
    ],
)
def test_two_uplinks_need_addresses_and_networks_of_their_own(
    tmp_path: Path, first: str, second: str, finding: str
) -> None:
    a, b = (
        f"{{name: {name}, interface: {name}, address: {address}}}"
        for name, address in (("a", first), ("b", second))
    )

    assert found(tmp_path, a, b) == [finding]


def test_two_uplinks_on_one_interface_have_two_gateways_for_ipv6_too(tmp_path: Path) -> None:
    a, b = (
        f"{{name: {name}, interface: w1, gateway: 192.0.2.{last}, gateway6: 'fe80::1'}}"
        for name, last in (("a", 1), ("b", 2))
    )

    assert found(tmp_path, a, b) == [
        (
            "8 error `a` and `b` are on w1 and have the same gateway for IPv6, fe80::1"
            " | write another `gateway6`, or leave it out of one of them"
        )
    ]


def test_two_uplinks_that_all_are_paid_by_volume_are_told(tmp_path: Path) -> None:
    a, b = (f"{{name: {name}, interface: {name}, metered: true}}" for name in "ab")

    assert found(tmp_path, a, b) == [
        (
            "6 warning `hosts.h.wan.uplinks` are all `metered`, so that one paid by volume is used first"
            " | leave it out where volume is free"
        )
    ]


@pytest.mark.parametrize(
    ("settings", "findings"),
    [
        (
            "pins: [{uplink: c, user: root}]",
            ["9 error `c` is not one of the host's uplinks | there are `a`, `b`"],
        ),
        (
            "pins: [{uplink: a}]",
            [
                (
                    "9 error `hosts.h.wan.pins.0` needs exactly one of `user`, `source` and `mesh`"
                    " | write one; make two pins of two"
                )
            ],
        ),
        (
            "targets: [{icmp: 1.1.1.1}, {icmp: 8.8.8.8}, {icmp: 9.9.9.9, dns: 9.9.9.9}]",
            ["9 error `hosts.h.wan.targets.2` needs exactly one of `icmp`, `tcp` and `dns` | write one"],
        ),
        (
            "pins: [{uplink: a, source: 0.0.0.0/0}]",
            [
                (
                    "9 error `hosts.h.wan.pins.0.source` is everything that there is"
                    " | give the uplink the lowest `priority` instead"
                )
            ],
        ),
        (
            "pins: [{uplink: a, mesh: true}]",
            [
                (
                    "9 error `hosts.h.wan.pins.0` is for packets of a mesh by WireGuard, and the host is in none"
                    " | take the pin out"
                )
            ],
        ),
        (
            "pins: [{uplink: a, user: bob}, {uplink: b, user: bob}]",
            ["9 error `bob` is already pinned to `a` | keep one of them"],
        ),
        (
            "quorum: 4",
            ["9 error `hosts.h.wan.quorum` is 4, and there are 3 targets | lower it, or add targets"],
        ),
        (
            "targets: [{icmp: 1.1.1.1}, {dns: 1.1.1.1}]",
            [
                (
                    "9 warning `hosts.h.wan.targets` are one address: when that does not answer, every uplink looks dead"
                    " | name three or more of different operators"
                )
            ],
        ),
        (
            "targets: [{icmp: 1.1.1.1}, {icmp: 1.0.0.1}, {icmp: '1.1.1.2'}]",
            [
                (
                    "9 warning `hosts.h.wan.targets` are all Cloudflare's, whose fault would look like one of every uplink"
                    " | name three or more of different operators"
                )
            ],
        ),
        (
            "targets: [{icmp: 1.1.1.1}, {icmp: 8.8.8.8}]",
            [
                (
                    "9 warning `hosts.h.wan.targets` are 2: a dead target can hardly be told from a dead uplink"
                    " | name three or more of different operators"
                )
            ],
        ),
        (
            "targets: [{icmp: 1.1.1.1}, {icmp: 8.8.8.8}, {icmp: 192.0.2.1}]",
            [
                (
                    "9 warning 192.0.2.1 is on this side of `a`, and answers while the line behind it is dead"
                    " | name something on the internet"
                )
            ],
        ),
        (
            "targets: [{icmp: 1.1.1.1}, {icmp: '2001:4860:4860::8888'}, {icmp: '2620:fe::fe'}]",
            [
                (
                    f"{line} error `hosts.h.wan.uplinks.{index}` carries IPv4 alone, and of the targets 1 is reached by that"
                    " | add targets with IPv4 addresses, 2 at least, or give it a `gateway6`"
                )
                for line, index in ((7, 0), (8, 1))
            ],
        ),
        (
            "targets: [{tcp: '300.0.0.1:443'}, {icmp: 8.8.8.8}, {icmp: 9.9.9.9}]",
            [
                (
                    "9 error `hosts.h.wan.targets.0.tcp` cannot be `300.0.0.1:443`"
                    " | write `ADDRESS:PORT`, such as `192.0.2.1:443`"
                )
            ],
        ),
        (
            "hook: /root/bin/switched",
            [
                (
                    "9 error `hosts.h.wan.hook` is below /root, which the agent does not see"
                    " | put it elsewhere, such as /usr/local/sbin"
                )
            ],
        ),
        (
            "probing: {loss_up: 0.5}",
            [
                (
                    "9 error `hosts.h.wan.probing` has `loss_up` 0.5 above `loss_down` 0.2 with the profile `balanced`"
                    " | lower `loss_up`: what is good must be better than what is bad"
                )
            ],
        ),
        (
            "probing: {timeout: 0.3, window: 1}",
            [
                (
                    "9 error `hosts.h.wan.probing` has `rtt_down` 0.5 above `timeout` 0.3 with the profile `balanced`"
                    " | raise `timeout`: what comes later counts as lost"
                ),
                (
                    "9 error `hosts.h.wan.probing` has a `window` of 1 s for a probe every 0.5 s with the profile `balanced`"
                    " | make it ten times the `interval` or longer"
                ),
            ],
        ),
    ],
)
def test_settings_that_would_tell_an_uplink_wrongly_are_found(
    tmp_path: Path, settings: str, findings: list[str]
) -> None:
    assert found(tmp_path, A, B, settings=settings) == findings


def test_name_servers_are_chosen_where_there_is_somebody_to_ask_them(tmp_path: Path) -> None:
    assert found(tmp_path, A, B, settings="resolvers: [9.9.9.9]") == [
        (
            "9 error `hosts.h.wan.resolvers` is for hosts with systemd-resolved, which debian-13 does not bring"
            " | take it out, and write the name servers into the host's own /etc/resolv.conf"
        )
    ]


def test_a_kernel_setting_that_would_drop_answers_over_the_other_uplink_is_found(tmp_path: Path) -> None:
    more = "    system: {sysctl: {net.ipv4.conf.all.rp_filter: 1, net.ipv4.tcp_mtu_probing: 1}}\n"

    assert found(tmp_path, A, B, more=more) == [
        (
            '9 error `hosts.h.system.sysctl."net.ipv4.conf.all.rp_filter"` is 1, and more than one uplink needs 2'
            " | take it out"
        )
    ]


def test_a_host_of_which_nothing_is_managed_any_more_has_nothing_wrong(tmp_path: Path) -> None:
    text = "hosts: {h: {address: 10.0.0.1, wan: {uplinks: [], pins: [{uplink: a, user: bob}], quorum: 9}}}"

    assert load_fleet_with_warnings(project(tmp_path, text).root, "test")[1] == ()
