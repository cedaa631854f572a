"""The agent on a host on which others work too: operators, leases, services, and whoever deletes rules.

Bounds on time are those of a crowded machine; `python -m tests.bench.wan` measures.
"""

import json
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.agents.wan_rig import HOME, TARGETS, TARGETS6, Rig, rig, until
from tests.agents.wan_running import agent, configuration, probing, started, with_ipv6
from tests.agents.wan_streams import Datagrams, going_on

pytestmark = pytest.mark.lab


@pytest.fixture
def network() -> Iterator[Rig]:
    with rig() as made:
        yield made


def test_what_a_killed_agent_leaves_stays_and_the_next_one_moves_nothing(network: Rig) -> None:
    running = agent(network, configuration(probing(hold=30.0)))
    network.upstream(1)
    running.until("lte")
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    network.upstream(1, dead=False)
    with going_on(network.namespace("host"), Datagrams()) as stream:
        begun = time.monotonic()
        time.sleep(1)
        after = agent(network, configuration(probing(hold=30.0)))
        until(lambda: after.phases == {"fibre": "recovering", "lte": "up"})
        time.sleep(3)
        end = time.monotonic()
        time.sleep(0.5)

    assert (after.active, stream.lost(begun, end)) == (["lte"], 0)
    assert "switch" not in after.log()


def test_what_an_operator_asked_for_outlives_the_agent(network: Rig) -> None:
    running = started(network)
    running.say("switch", "lte")
    running.until("lte")
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    after = agent(network, configuration(probing(hold=0.0)))
    until(lambda: set(after.phases.values()) == {"up"})
    assert after.active == ["lte"]

    after.say("release")
    after.until("fibre")


def test_what_others_delete_is_back_at_once(network: Rig) -> None:
    started(network)
    rules = network.run("host", "ip", "rule")
    table = network.run("host", "ip", "route", "show", "table", "200")
    network.run(
        "host",
        "sh",
        "-c",
        "ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref 32767 lookup default",
    )
    until(lambda: network.run("host", "ip", "rule") == rules, 8)
    network.run("host", "ip", "route", "flush", "table", "200")
    until(lambda: network.run("host", "sh", "-c", "ip route show table 200 || true") == table, 8)


def test_a_new_lease_is_followed(network: Rig) -> None:
    written = configuration(probing())
    written["uplinks"][0] |= {"gateway": "auto", "address": None}
    running = agent(network, written)
    until(lambda: f"from {HOME[1]} lookup 201" in network.run("host", "ip", "rule"))
    network.run(
        "host", "sh", "-c", f"ip addr del {HOME[1]}/24 dev wan1; ip addr add 203.0.113.77/24 dev wan1"
    )
    network.run(
        "host", "ip", "route", "add", "default", "via", "203.0.113.254", "dev", "wan1", "metric", "100"
    )
    until(lambda: "from 203.0.113.77 lookup 201" in network.run("host", "ip", "rule"))

    assert f"from {HOME[1]}" not in network.run("host", "ip", "rule")
    expected = "default via 203.0.113.254 dev wan1 proto 201 src 203.0.113.77 onlink"
    until(lambda: expected in network.run("host", "ip", "route", "show", "table", "201"))
    running.until("lte")  # nobody is at that address


def test_a_further_address_of_an_uplink_in_reserve_is_answered_from_by_that_uplink(network: Rig) -> None:
    network.run("host", "ip", "addr", "add", "198.51.100.3/24", "dev", "wan2")
    running = started(network)
    assert running.active == ["fibre"]
    route = ("host", "ip", "route", "get", "9.9.9.9", "from", "198.51.100.3")
    until(lambda: "via 198.51.100.1 dev wan2 table 202" in network.run(*route))

    network.run("host", "ip", "addr", "add", "198.51.100.4/32", "dev", "wan2")
    until(lambda: "from 198.51.100.4 lookup 202" in network.run("host", "ip", "rule"), 8)
    network.run("host", "ip", "addr", "del", "198.51.100.4/32", "dev", "wan2")
    until(lambda: "from 198.51.100.4" not in network.run("host", "ip", "rule"), 8)


def test_a_host_that_boots_with_a_dead_uplink_takes_the_other_and_is_ready_then(network: Rig) -> None:
    network.gateway(1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(network.folder / "notify"))
        heard.settimeout(10)
        running = agent(network, configuration(probing()), NOTIFY_SOCKET=str(network.folder / "notify"))
        running.until("lte")
        told = [heard.recv(200) for _ in range(4)]

    assert told.index(b"READY=1") > told.index(b"WATCHDOG=1\nSTATUS=on none")
    assert running.status()["switches"] == 0


def test_an_agent_that_was_not_run_for_a_while_moves_nothing(network: Rig) -> None:
    running = started(network)
    for _ in range(3):
        running.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        running.process.send_signal(signal.SIGCONT)
        time.sleep(0.3)

    assert (running.active, running.phases["fibre"], running.phases["lte"]) == (["fibre"], "up", "up")
    assert "frozen" not in running.log()


def test_weighted_both_uplinks_carry_what_is_new_until_one_is_dead(network: Rig) -> None:
    written = configuration(probing(), mode="weighted")
    written["uplinks"][1]["weight"] = 3
    running = agent(network, written)
    running.until("fibre+lte")
    table = network.run("host", "ip", "route", "show", "table", "200")
    assert [line.split()[-3:] for line in table.splitlines()[1:]] == [
        ["weight", "1", "onlink"],
        ["weight", "3", "onlink"],
    ]

    network.upstream(2)
    running.until("fibre")
    network.upstream(2, dead=False)
    running.until("fibre+lte")


def test_over_ipv6_the_same_uplink_is_used(network: Rig) -> None:
    targets = [{"method": "icmp", "address": address} for address in (*TARGETS6[:2], TARGETS[0])]
    running = agent(network, configuration(probing(), targets=targets, uplinks=with_ipv6()))
    running.until("fibre")
    network.upstream(1)
    running.until("lte")

    assert "via 2001:db8:2::1 dev wan2" in network.run("host", "ip", "-6", "route", "show", "table", "200")
    assert "from 2001:db8:2::2 lookup 202" in network.run("host", "ip", "-6", "rule")
    assert "dev wan2" in network.run("host", "ip", "-6", "route", "get", TARGETS6[2])
    assert json.loads(running.say("test", "lte"))["good"]


def test_names_and_connections_are_probed_as_well_as_pings(network: Rig) -> None:
    targets = [{"method": "tcp", "address": TARGETS[0], "port": 7}, {"method": "dns", "address": TARGETS[1]}]
    running = agent(network, configuration(probing(), targets=targets))
    running.until("fibre")
    said = json.loads(running.say("test", "lte"))
    assert (said["good"], [each["rtt"] is not None for each in said["targets"]]) == (True, [True, True])

    network.upstream(1)
    running.until("lte")


def test_a_pin_holds_as_long_as_its_uplink_works(network: Rig) -> None:
    pins = [{"uplink": "lte", "user": "nobody"}, {"uplink": "lte", "source": "172.30.0.0/24"}]
    started(network, pins=pins)
    rule = "from 172.30.0.0/24 lookup 202"
    until(lambda: rule in network.run("host", "ip", "rule"))
    said = network.run("host", "ip", "route", "get", "9.9.9.9", "uid", "65534")
    assert "dev wan2" in said

    network.upstream(2)
    until(lambda: rule not in network.run("host", "ip", "rule"))
    assert "dev wan1" in network.run("host", "ip", "route", "get", "9.9.9.9", "uid", "65534")


def test_an_operator_moves_traffic_for_a_while_and_losing_nothing(network: Rig) -> None:
    metrics = network.folder / "wan.prom"
    running = started(network, metrics=str(metrics))
    with going_on(network.namespace("host"), Datagrams()) as stream:
        begun = time.monotonic()
        time.sleep(0.5)
        running.say("switch", "lte", "--for", "3")
        running.until("lte")
        until(lambda: 'stackctl_wan_active{uplink="lte"} 1' in metrics.read_text())
        running.until("fibre")
        end = time.monotonic()
        time.sleep(0.5)

    assert stream.lost(begun, end) == 0
    assert json.loads(running.say("status"))["switches"] == 2
    assert "stackctl_wan_switches_total 2" in metrics.read_text()
