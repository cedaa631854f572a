"""Uplinks on a host: refused where they are not there, looked after, and taken away without a trace."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from stackctl.capabilities.wan import CONFIG_FILE, UplinkSpec
from stackctl.core.artifact import Artifact
from stackctl.engine.run import Run
from stackctl.ops import wan
from stackctl.ops.ways import Network
from stackctl.schema.probing import resolved
from stackctl.schema.wan import Wan
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen


def link(name: str, *addresses: str, peer: str | None = None) -> dict[str, Any]:
    """An interface as `ip -j address` tells it."""
    infos: list[dict[str, Any]] = []
    for address in addresses:
        local, _, length = address.partition("/")
        infos.append({"local": local, "prefixlen": int(length), **({"address": peer} if peer else {})})
    return {"ifname": name, "addr_info": infos}


LINKS = [
    link("lo", "127.0.0.1/8"),
    link("wan1", "198.18.1.11/24", "fe80::1/64"),
    link("wan2", "198.18.2.11/24"),
    link("ppp0", "203.0.113.7/32", peer="203.0.113.1"),
]
DEFAULTS = [{"dst": "default", "gateway": "198.18.1.1", "dev": "wan1"}]


def uplink(
    name: str = "fibre", interface: str = "wan1", gateway: str = "198.18.1.1", **more: Any
) -> UplinkSpec:
    values = {"number": 1, "address": None, "gateway6": None, "weight": 1, "metered": False, **more}
    probing = resolved("balanced", Wan(uplinks=()).probing)
    return UplinkSpec(name=name, interface=interface, gateway=gateway, probing=probing, **values)


def config(path: Path, *uplinks: UplinkSpec) -> Artifact:
    return Artifact(str(path), json.dumps({"uplinks": [vars(each) | {"probing": {}} for each in uplinks]}))


def planned(
    tmp_path: Path,
    *uplinks: UplinkSpec,
    has: str | None = None,
    links: Sequence[Any] = LINKS,
    defaults: Sequence[Any] = DEFAULTS,
) -> list[str]:
    """Findings on the host with these interfaces, whose agent has the configuration `has`."""
    told = [json.dumps(each) for each in (links, defaults, [])]
    script = f"case \"$*\" in *addr*) echo '{told[0]}';; *-4*) echo '{told[1]}';; *) echo '{told[2]}';; esac"
    program(tmp_path / "bin", "ip", script)
    conf = tmp_path / "wan.json"
    if has is not None:
        conf.write_text(has)
    body = """
    from stackctl.ops import wan as uplinks
    uplinks.fits(name='check the uplinks', uplinks=spec[0], config=spec[1])
    """
    spec = (uplinks, config(conf, *uplinks))
    run = one_host(tmp_path / "d", body, spec=spec, session=lambda _: LocalSession(tmp_path / "bin"))
    return [f"{item.where} | {item.what} | {item.hint}" for item in run.plan().findings]


@pytest.mark.parametrize(
    "good",
    [
        uplink(),
        uplink(gateway="auto"),
        uplink(address="198.18.1.11"),
        uplink(gateway6="fe80::99"),
        uplink(interface="ppp0", gateway="203.0.113.1"),
    ],
)
def test_an_uplink_that_is_there_is_fine(tmp_path: Path, good: UplinkSpec) -> None:
    assert planned(tmp_path, uplink("other"), good) == []


def test_two_routers_with_one_network_are_told_apart_by_nobody(tmp_path: Path) -> None:
    links = [link("wan1", "192.168.1.7/24"), link("wan2", "192.168.1.9/25", "fe80::1/64")]
    defaults = [{"dst": "default", "gateway": "192.168.1.1", "dev": name} for name in ("wan1", "wan2")]
    two = (uplink(gateway="auto"), uplink("lte", "wan2", "auto"))

    assert planned(tmp_path, *two, links=links, defaults=defaults) == [
        (
            "gpu1 · demo · check the uplinks | uplink lte: 192.168.1.0/25 on wan2 overlaps with `fibre`'s network,"
            " 192.168.1.0/24 on wan1 | give one of the two routers another network for its side of the host"
        )
    ]


@pytest.mark.parametrize(
    ("bad", "finding"),
    [
        (
            uplink(interface="wan3"),
            "the host has no interface `wan3` | correct `interface`; there are `ppp0`, `wan1`, `wan2`",
        ),
        (
            uplink(interface="wan2"),
            (
                "wan2 has no address in the network of 198.18.1.1, only 198.18.2.11/24"
                " | correct `gateway`, or give the interface an address in its network"
            ),
        ),
        (
            uplink(interface="wan2", gateway="auto"),
            (
                "nothing has brought wan2 a default route whose gateway could be taken"
                " | write the address of its `gateway`, or set up DHCP or a gateway on the host"
            ),
        ),
        (
            uplink(address="198.18.1.12"),
            (
                "wan1 does not have the address 198.18.1.12, only 198.18.1.11/24"
                " | correct `address`, or give the interface that address"
            ),
        ),
        (
            uplink(gateway6="auto"),
            (
                "nothing has brought wan1 a default route for IPv6"
                " | write the address of its `gateway6`, or leave that out"
            ),
        ),
        (
            uplink(gateway6="2001:db8::1"),
            (
                "wan1 has no address by which it reaches 2001:db8::1, only fe80::1/64"
                " | correct `gateway6`, or give the interface an address in its network"
            ),
        ),
    ],
)
def test_a_host_without_it_is_refused_before_anything_is_changed(
    tmp_path: Path, bad: UplinkSpec, finding: str
) -> None:
    assert planned(tmp_path, bad) == [f"gpu1 · demo · check the uplinks | uplink fibre: {finding}"]


def test_an_uplink_that_the_agent_has_already_may_be_down(tmp_path: Path) -> None:
    lost = uplink("dsl", interface="ppp1", gateway="auto")
    has = config(tmp_path / "wan.json", lost).content

    assert planned(tmp_path, lost, has=has) == []
    assert planned(tmp_path, uplink(weight=5), lost, has=has) == []
    assert planned(tmp_path, uplink("dsl", interface="ppp1", gateway="203.0.113.1"), has=has) != []


def test_an_interface_with_a_default_route_that_is_no_uplink_would_cut_off_who_comes_by_it(
    tmp_path: Path,
) -> None:
    management = [*DEFAULTS, {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "metric": 500}]

    assert planned(tmp_path, uplink(), defaults=management) == [
        (
            "gpu1 · demo · check the uplinks | interface eth0: eth0 has a default route and is none of the uplinks:"
            " who comes by it would be answered by one of them"
            " | write it as an uplink too, or give it routes to the networks behind it alone"
        )
    ]


@pytest.mark.parametrize("has", ["", "{", "[]", '{"uplinks": 1}', '{"uplinks": [1]}'])
def test_a_configuration_that_is_none_vouches_for_nothing(tmp_path: Path, has: str) -> None:
    assert planned(tmp_path, uplink(interface="gone"), has=has) != []


def test_a_host_that_tells_nothing_has_no_interface(tmp_path: Path) -> None:
    [finding] = planned(tmp_path, uplink(), links=[], defaults=[])

    assert finding.endswith("`wan1` | install iproute2 on the host, without which nobody can tell")


GUARDED = """
from stackctl.ops import wan as uplinks
from stackctl.ops.step import Guard
guard = Guard('wan', (spec,))
"""


def host_with(tmp_path: Path, body: str, *, networkd: str = "active", table: bool = True) -> Run:
    """A host whose systemd-networkd was started in 2015, and whose nftables are as told."""
    show = (
        f"LoadState=loaded\nActiveState={networkd}\nActiveEnterTimestamp=Thu 2015-01-01 00:00:00.000000 UTC"
    )
    program(tmp_path / "bin", "systemctl", f"echo '{show}'")
    program(tmp_path / "bin", "nft", "exit 0" if table else "exit 1")
    return one_host(
        tmp_path / "d",
        GUARDED + body,
        spec=str(tmp_path / "conf"),
        session=lambda _: LocalSession(tmp_path / "bin"),
    )


def reasons(run: Run) -> list[str]:
    plan = run.plan()
    assert plan.findings == ()
    return [change.reason for change in plan.hosts[0].changes]


@pytest.mark.parametrize(("networkd", "count"), [("active", 1), ("inactive", 0), ("activating", 0)])
def test_networkd_is_restarted_for_its_settings_where_it_runs(
    tmp_path: Path, networkd: str, count: int
) -> None:
    (tmp_path / "conf").write_text("x")
    body = """
from stackctl.core.artifact import Artifact
known = {'unit': uplinks.NETWORKD, 'artifacts': [Artifact(spec, '')], 'after': [], 'guard': guard}
uplinks.known(name='have networkd know', reason='which deletes routes', **known)
"""

    expected = ["restart systemd-networkd.service, which deletes routes"]
    assert reasons(host_with(tmp_path, body, networkd=networkd)) == expected * count


@pytest.mark.parametrize("table", [True, False])
def test_marks_that_somebody_flushed_are_loaded_again(tmp_path: Path, *, table: bool) -> None:
    run = host_with(tmp_path, "uplinks.marked(name='mark', after=[], guard=guard)", table=table)

    assert reasons(run) == ([] if table else ["load the table stackctl_wan, which is gone"])
    assert seen(run) == {"table inet stackctl_wan": {"state": "loaded"} if table else {}}


def test_marks_that_the_start_of_the_agent_loads_are_not_loaded_twice(tmp_path: Path) -> None:
    body = """
unit = files.block(name='write', path=spec, marker='m', lines=['x'])
uplinks.marked(name='mark', after=[unit], guard=guard)
"""
    run = host_with(tmp_path, body, table=False)
    run.plan()

    assert [change.operation for change in run.readings["gpu1"].plan.changes] == ["write"]


# What follows runs the scripts in a namespace of their own, with real rules, routes and tables.

NAMESPACE = f"t-wan-{os.getpid()}"
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nftables"
)


@pytest.fixture
def _namespace() -> Iterator[None]:
    """One interface with an address and a gateway, the agent's rules and routes, and somebody else's."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        inside(_SETTING)
        yield
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


_SETTING = """
        ip link add wan1 type veth peer name isp1; ip addr add 198.18.1.11/24 dev wan1
        ip link set isp1 up; ip link set wan1 up; ip route add default via 198.18.1.1
        ip route add default via 198.18.1.1 table 200 proto 201
        ip route add default via 198.18.1.1 table 7; ip rule add pref 7 lookup 7
        ip rule add pref 90 lookup main suppress_prefixlength 0 protocol 201
        ip rule add pref 200 lookup 200 protocol 201; ip -6 rule add pref 200 lookup 200 protocol 201
        nft add table inet stackctl_wan; nft add table inet others
"""


def inside(script: str) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, "sh", "-ec", script], check=True, capture_output=True, text=True
    )
    return done.stdout


@needs_root
@pytest.mark.usefixtures("_namespace")
def test_interfaces_and_routes_are_read_as_iproute2_tells_them() -> None:
    ways = Network().process(inside(Network().command()).splitlines())

    assert [str(address) for address in ways.interfaces["wan1"].addresses if address.version == 4] == [
        "198.18.1.11/24"
    ]
    assert ways.defaults == {(4, "wan1")}


@needs_root
@pytest.mark.usefixtures("_namespace")
def test_a_change_that_is_taken_back_leaves_no_rule_where_there_was_no_agent(tmp_path: Path) -> None:
    systemctl = f"systemctl() {{ echo $* >>{tmp_path}/calls; }}\n"

    for command in wan.guard([Artifact(CONFIG_FILE, "")]).restore:
        inside(f"set +e\n{systemctl}{command}")

    assert "201" not in inside("ip rule; ip -6 rule; ip route show table all")
    assert "7:\tfrom all lookup 7" in inside("ip rule")
    assert "default via 198.18.1.1 dev wan1" in inside("ip route; ip route show table 7")
    assert inside("nft list tables") == "table inet others\n"
    assert (tmp_path / "calls").read_text().splitlines() == [
        "daemon-reload",
        "try-restart systemd-networkd.service systemd-resolved.service",
        "stop stackctl-wan.service",
    ]


def test_all_that_a_change_writes_is_put_back_and_what_starts_the_agent_at_boot_too() -> None:
    paths = wan.guard([Artifact("/etc/a.conf", ""), Artifact(CONFIG_FILE, "")]).paths

    assert {"/etc/a.conf", CONFIG_FILE, wan.WANTS, "/usr/lib/stackctl/wan.py"} <= set(paths)
    assert len(paths) == len(set(paths))


def test_where_nothing_is_left_nothing_is_taken_away(tmp_path: Path) -> None:
    run = host_with(tmp_path, "uplinks.gone(name='leave them', guard=guard)", table=False)
    program(tmp_path / "bin", "ip", "exit 1")

    assert reasons(run) == []
    assert seen(run) == {"uplinks managed by stackctl": {}}


def test_what_is_left_is_told_before_it_is_taken_away(tmp_path: Path) -> None:
    program(tmp_path / "bin", "ip", "echo '200: from all lookup 200 proto 201'")
    run = host_with(tmp_path, "uplinks.gone(name='leave them', guard=guard)")

    assert reasons(run) == ["stop the agent, and take away rules, table stackctl_wan"]
    assert [change.action for change in run.plan().hosts[0].changes] == ["remove"]
