"""What the agent has the kernel hold, how it reads the kernel's answers, and what it tells of itself."""

import ast
import json
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.agents import wan
from stackctl.agents.wan import Event, Health, Pin, Port, State, Way, amends, events, port_of, routes, rules
from tests.agents.wan_course import FIBRE, LTE, config, settled, uplink

FIRST, SECOND = Way("203.0.113.2", "203.0.113.1"), Way("198.51.100.2", "198.51.100.1")
PORTS = {"fibre": Port(carrier=True, ways={4: FIRST}), "lte": Port(carrier=True, ways={4: SECOND})}
WELL = State({name: Health("up") for name in PORTS})


def test_the_rules_look_up_what_is_near_then_the_tunnel_then_marks_then_sources_then_the_uplink_in_use() -> (
    None
):
    assert rules(config(), WELL, PORTS, {}, 4) == [
        "pref 90 lookup 254 suppress_prefixlength 0 protocol 201",
        "pref 100 fwmark 0x100/0x100 lookup 200 protocol 201",
        "pref 110 fwmark 0x1/0xff lookup 201 protocol 201",
        "pref 111 fwmark 0x2/0xff lookup 202 protocol 201",
        "pref 120 from 203.0.113.2 lookup 201 protocol 201",
        "pref 121 from 198.51.100.2 lookup 202 protocol 201",
        "pref 200 lookup 200 protocol 201",
    ]


def test_what_comes_from_any_address_of_an_uplinks_interface_leaves_by_it() -> None:
    block = ("192.0.2.7/32", "198.51.100.2/29", "198.51.100.3/29", "2001:db8::2/64")
    ports = PORTS | {"lte": Port(carrier=True, ways={4: SECOND}, addresses=block)}

    assert [line for line in rules(config(), WELL, ports, {}, 4) if "pref 121" in line] == [
        "pref 121 from 198.51.100.2 lookup 202 protocol 201",
        "pref 121 from 192.0.2.7 lookup 202 protocol 201",
        "pref 121 from 198.51.100.3 lookup 202 protocol 201",
    ]


def test_uplinks_on_one_interface_have_the_addresses_of_their_gateways_networks() -> None:
    held = ("198.51.100.2/24", "198.51.100.3/24", "203.0.113.2/24", "203.0.113.3/24")
    ports = {name: replace(port, addresses=held) for name, port in PORTS.items()}
    written = config(FIBRE, replace(LTE, interface=FIBRE.interface))

    assert [line.split()[1:5] for line in rules(written, WELL, ports, {}, 4) if "from" in line] == [
        ["120", "from", "203.0.113.2", "lookup"],
        ["120", "from", "203.0.113.3", "lookup"],
        ["121", "from", "198.51.100.2", "lookup"],
        ["121", "from", "198.51.100.3", "lookup"],
    ]


def test_a_number_that_an_uplink_keeps_is_its_table_and_its_mark() -> None:
    written = config(uplink("lte", 5), uplink("fibre", 2))
    lines = rules(written, State({name: Health("up") for name in PORTS}), PORTS, {}, 4)

    assert "pref 114 fwmark 0x5/0xff lookup 205 protocol 201" in lines


PINS = (
    Pin("lte", user="tunnel"),
    Pin("lte", source="172.30.0.5/32"),
    Pin("lte", source="172.30.0.0/24"),
    Pin("lte", source="2001:db8::/64"),
)


@pytest.mark.parametrize(
    ("phase", "users", "pinned"),
    [
        (
            "up",
            {"tunnel": 998},
            [
                "pref 130 uidrange 998-998 lookup 202",
                "pref 131 from 172.30.0.5 lookup 202",
                "pref 132 from 172.30.0.0/24 lookup 202",
            ],
        ),
        ("up", {}, ["pref 131 from 172.30.0.5 lookup 202", "pref 132 from 172.30.0.0/24 lookup 202"]),
        ("down", {"tunnel": 998}, []),
    ],
)
def test_a_pin_is_a_rule_while_its_uplink_works_and_its_user_is_there(
    phase: wan.Phase, users: Mapping[str, int], pinned: list[str]
) -> None:
    state = State({"fibre": Health("up"), "lte": Health(phase)})
    lines = rules(config(pins=PINS), state, PORTS, users, 4)

    assert [
        line.removesuffix(" protocol 201") for line in lines if 130 <= int(line.split()[1]) < 200
    ] == pinned


def test_a_mesh_that_is_pinned_does_so_before_it_would_follow_the_active_uplink() -> None:
    written = config(pins=(Pin("lte", mesh=True),))
    dead = State({"fibre": Health("up"), "lte": Health("down")})

    assert rules(written, WELL, PORTS, {}, 4)[:3] == [
        "pref 90 lookup 254 suppress_prefixlength 0 protocol 201",
        "pref 95 fwmark 0x100/0x100 lookup 202 protocol 201",
        "pref 100 fwmark 0x100/0x100 lookup 200 protocol 201",
    ]
    assert rules(written, dead, PORTS, {}, 4) == rules(config(), dead, PORTS, {}, 4)


def test_where_no_uplink_works_a_pin_holds_as_nothing_is_better() -> None:
    state = State({"fibre": Health("down"), "lte": Health("down")})

    assert len(rules(config(pins=PINS), state, PORTS, {}, 4)) == len(rules(config(), state, PORTS, {}, 4)) + 2


def test_what_is_bound_to_an_uplink_without_an_address_leaves_by_no_other() -> None:
    assert routes(config(), PORTS | {"lte": Port()}, ["fibre"], 4)[2:-1] == [
        "unreachable 0.0.0.0/0 table 202 metric 4278198272"
    ]


def test_where_no_uplink_has_ipv6_there_are_no_rules_for_it() -> None:
    assert rules(config(), WELL, PORTS, {}, 6) == []


def test_an_uplinks_table_ends_in_an_error_and_the_active_one_has_one_route() -> None:
    assert routes(config(), PORTS, ["lte"], 4) == [
        "0.0.0.0/0 via 203.0.113.1 dev wan1 src 203.0.113.2 onlink table 201",
        "unreachable 0.0.0.0/0 table 201 metric 4278198272",
        "0.0.0.0/0 via 198.51.100.1 dev wan2 src 198.51.100.2 onlink table 202",
        "unreachable 0.0.0.0/0 table 202 metric 4278198272",
        "0.0.0.0/0 via 198.51.100.1 dev wan2 src 198.51.100.2 onlink table 200",
    ]


def test_several_uplinks_in_use_share_one_route_by_weight() -> None:
    written = config(FIBRE, uplink("lte", 2, weight=3))

    assert routes(written, PORTS, ["fibre", "lte"], 4)[-1] == (
        "0.0.0.0/0 table 200 nexthop via 203.0.113.1 dev wan1 onlink weight 1 "
        "nexthop via 198.51.100.1 dev wan2 onlink weight 3"
    )


def test_before_the_first_choice_the_active_table_is_empty_so_that_main_decides() -> None:
    assert not [line for line in routes(config(), PORTS, [], 4) if "table 200" in line]


def test_a_point_to_point_link_needs_no_router() -> None:
    ports = PORTS | {"lte": Port(carrier=True, ways={4: Way("10.64.0.7", None)})}

    assert routes(config(), ports, ["lte"], 4)[-1] == "0.0.0.0/0 dev wan2 src 10.64.0.7 table 200"


def test_where_the_uplink_in_use_has_no_ipv6_anothers_is_used_for_it() -> None:
    written = config(FIBRE, uplink("lte", 2, gateway6="fe80::1"))
    ports = PORTS | {"lte": Port(carrier=True, ways={6: Way("2001:db8::2", "fe80::1")})}

    assert (
        routes(written, ports, ["fibre"], 6)[-1]
        == "::/0 via fe80::1 dev wan2 src 2001:db8::2 onlink table 200"
    )


READ = json.loads("""[
  {"priority": 90, "src": "all", "table": "254", "suppress_prefixlen": 0, "protocol": "201"},
  {"priority": 100, "src": "all", "fwmark": "0x100", "fwmask": "0x100", "table": "200", "protocol": "201"},
  {"priority": 120, "src": "203.0.113.2", "table": "201", "protocol": "201"},
  {"priority": 130, "src": "all", "uid_start": 33, "uid_end": 33, "table": "202", "protocol": "201"},
  {"priority": 131, "src": "172.30.0.0", "srclen": 24, "table": "202", "protocol": "201"}
]""")


def test_rules_are_read_as_they_are_written() -> None:
    assert [wan.rule_read(rule) for rule in READ] == [
        "pref 90 lookup 254 suppress_prefixlength 0 protocol 201",
        "pref 100 fwmark 0x100/0x100 lookup 200 protocol 201",
        "pref 120 from 203.0.113.2 lookup 201 protocol 201",
        "pref 130 uidrange 33-33 lookup 202 protocol 201",
        "pref 131 from 172.30.0.0/24 lookup 202 protocol 201",
    ]


def test_what_is_missing_is_added_before_what_is_stale_is_deleted() -> None:
    assert amends(["pref 90 a", "pref 100 b"], ["pref 100 b", "pref 120 c"], "rule") == [
        "rule add pref 90 a",
        "rule del pref 120 c",
    ]


def test_a_route_is_replaced_and_never_deleted_in_between() -> None:
    old, new = ("0.0.0.0/0 via 192.0.2.1 dev wan1 table 200", "0.0.0.0/0 via 192.0.2.2 dev wan2 table 200")

    assert amends([new], [old], "route") == [f"route replace proto 201 {new}"]


def interface(
    *addresses: tuple[str, str, int], flags: tuple[str, ...] = ("UP", "LOWER_UP")
) -> dict[str, object]:
    found = [
        {"family": family, "local": local, "prefixlen": length, "scope": "0"}
        for family, local, length in addresses
    ]
    return {"wan1": {"flags": list(flags), "addr_info": found}}


TWO = interface(("inet", "198.18.0.5", 24), ("inet", "192.0.2.7", 24))


@pytest.mark.parametrize(
    ("given", "defaults", "way"),
    [
        ({}, [], Way("192.0.2.7", "192.0.2.1")),
        ({"address": "198.18.0.5"}, [], Way("198.18.0.5", "192.0.2.1")),
        ({"address": "192.0.2.8"}, [], None),
        ({"gateway": "auto"}, [{"dev": "wan1", "gateway": "198.18.0.1"}], Way("198.18.0.5", "198.18.0.1")),
        ({"gateway": "auto"}, [{"dev": "wan2", "gateway": "198.18.0.1"}], None),
        ({"gateway": "auto"}, [{"dev": "wan1"}], Way("198.18.0.5", None)),
        (
            {"gateway": "auto"},
            [
                {"dev": "wan1", "gateway": "192.0.2.9", "metric": 200},
                {"dev": "wan1", "gateway": "192.0.2.1", "metric": 100},
            ],
            Way("192.0.2.7", "192.0.2.1"),
        ),
        (
            {"gateway": "auto"},
            [
                {"dev": "wan1", "gateway": "192.0.2.9", "metric": 100},
                {"dev": "wan1", "gateway": "192.0.2.1", "metric": 100},
                {"dev": "wan1", "gateway": "192.0.2.8", "metric": 200},
            ],
            Way("192.0.2.7", "192.0.2.1"),
        ),
    ],
)
def test_an_uplink_is_left_by_the_router_and_the_address_that_are_there(
    given: dict[str, str], defaults: list[dict[str, object]], way: Way | None
) -> None:
    port = port_of(uplink("fibre", 1, **given), TWO, {4: defaults, 6: []}, Port())

    assert (port.carrier, port.ways) == (True, {4: way} if way else {})
    assert port.addresses == ("192.0.2.7/24", "198.18.0.5/24")
    assert port.networks == ("192.0.2.0/24", "198.18.0.0/24")


def test_a_router_that_main_lost_stands_as_long_as_the_address_does() -> None:
    auto = uplink("fibre", 1, gateway="auto")
    before = Port(carrier=True, ways={4: Way("192.0.2.7", "192.0.2.1")})

    assert port_of(auto, TWO, {4: [], 6: []}, before).ways == before.ways
    assert port_of(auto, interface(), {4: [], 6: []}, before).ways == {}


@pytest.mark.parametrize("mark", ["temporary", "deprecated", "tentative"])
def test_an_ipv6_address_that_does_not_last_is_not_used(mark: str) -> None:
    found = interface(("inet6", "2001:db8::9", 64), ("inet6", "2001:db8::2", 64))
    found["wan1"]["addr_info"][0][mark] = True  # type: ignore[index]
    port = port_of(uplink("fibre", 1, gateway6="fe80::1"), found, {4: [], 6: []}, Port())

    assert port.ways[6] == Way("2001:db8::2", "fe80::1")


def test_an_address_of_a_local_network_is_the_last_to_be_used() -> None:
    found = interface(("inet6", "fd12:3456::2", 64), ("inet6", "2001:db8::2", 64))
    port = port_of(uplink("fibre", 1, gateway6="fe80::1"), found, {4: [], 6: []}, Port())

    assert port.ways[6] == Way("2001:db8::2", "fe80::1")


def test_an_interface_that_is_not_there_has_no_carrier() -> None:
    assert port_of(FIBRE, {}, {4: [], 6: []}, Port()) == Port(carrier=False)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link(name: str, flags: int, kind: int = 16) -> bytes:
    label = name.encode() + b"\0"
    padded = label.ljust((len(label) + 3) & ~3, b"\0")
    attribute = struct.pack("=HH", 4 + len(label), 3) + padded
    return message(kind, struct.pack("=BBHiII", 0, 0, 0, 7, flags, 0) + attribute)


def test_of_the_kernels_news_links_addresses_rules_and_default_routes_matter() -> None:
    up, default = 0x10001, struct.pack("=8BI", 2, 0, 0, 0, 200, 201, 0, 1, 0)
    near = struct.pack("=8BI", 2, 24, 0, 0, 254, 2, 0, 1, 0)
    address = struct.pack("=4BI", 2, 24, 0, 0, 7)
    links = link("wan1", up) + link("wan2", 0x1) + link("usb0", up, 17)
    data = links + message(24, near) + message(25, default) + message(20, address) + message(33, default)

    assert list(events(data)) == [
        Event("wan1", carrier=True),
        Event("wan2"),
        Event("usb0"),
        Event(),
        Event(index=7),
        Event(),
    ]


def test_an_echo_request_carries_its_checksum() -> None:
    packet = wan.echo(8, 2, b"\xab\xcd" + b"\xff" * 8)
    total = sum(struct.unpack("!8H", packet))

    assert (total >> 16) + (total & 0xFFFF) == 0xFFFF
    assert (packet[:2], packet[4:8]) == (b"\x08\x00", b"\xab\xcd\x00\x02")


def test_the_state_is_told_to_programs(golden_state: dict[str, object]) -> None:
    assert {key: golden_state[key] for key in ("active", "forced", "frozen", "paused", "switches")} == {
        "active": ["lte"],
        "forced": None,
        "frozen": False,
        "paused": False,
        "switches": 1,
    }
    uplinks: Any = golden_state["uplinks"]
    assert [(each["name"], each["phase"]) for each in uplinks] == [("fibre", "down"), ("lte", "up")]


@pytest.fixture
def golden_state() -> dict[str, object]:
    course = settled(config(FIBRE, LTE)).run(60, fibre="dead")
    told = wan.described(course.config, course.state, PORTS, course.now, 1_800_000_000.0)
    return json.loads(json.dumps(told))  # type: ignore[no-any-return]


def test_the_metrics_are_as_a_collector_reads_them(golden_state: dict[str, object]) -> None:
    assert wan.metrics(golden_state) == Path(__file__).with_name("wan.prom").read_text()


def test_a_service_manager_is_told_on_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        wan.notify("READY=1", "WATCHDOG=1")

        assert heard.recv(100) == b"READY=1\nWATCHDOG=1"


def test_it_needs_nothing_but_the_standard_library_and_runs_on_python_3_10() -> None:
    tree = ast.parse(Path(wan.__file__).read_text(), feature_version=(3, 10))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert {str(name).partition(".")[0] for name in imported} <= sys.stdlib_module_names
