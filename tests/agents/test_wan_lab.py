"""The agent against real kernels' routes, sockets and cables, in namespaces of its own.

Bounds on time are those of a crowded machine; `python -m tests.bench.wan` measures.
"""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.agents.wan_rig import GATEWAY6, HOME, TARGETS, TARGETS6, Rig, rig, until
from tests.agents.wan_running import BALANCED, Running, agent, configuration, probing
from tests.agents.wan_streams import Connection, Datagrams, going_on
from tests.agents.wan_tunnel import FAR, tunnel

pytestmark = pytest.mark.lab

Fault = Callable[..., None]


@pytest.fixture
def network() -> Iterator[Rig]:
    with rig() as made:
        yield made


def started(made: Rig, numbers: Mapping[str, float] | None = None, **changed: object) -> Running:
    """An agent that knows both uplinks to be well and uses the first."""
    running = agent(made, configuration(numbers or probing(), **changed))
    until(lambda: set(running.phases.values()) == {"up"})
    return running


def with_ipv6() -> list[dict[str, Any]]:
    """Both uplinks, with their routers for IPv6."""
    uplinks = configuration(probing())["uplinks"]
    return [uplink | {"gateway6": GATEWAY6[number]} for number, uplink in enumerate(uplinks, 1)]


@pytest.mark.parametrize(
    ("fault", "numbers", "most"),
    [
        ("upstream", probing(), 4.0),
        ("gateway", probing(), 4.0),
        ("carrier", BALANCED | {"hold": 2.0}, 1.5),  # probes alone would need two seconds
    ],
)
def test_an_outage_is_bridged_and_the_way_back_loses_nothing(
    network: Rig, fault: str, numbers: dict[str, float], most: float
) -> None:
    running = started(network, numbers)
    strike: Fault = getattr(network, fault)
    with going_on(network.namespace("host"), Datagrams()) as stream:
        time.sleep(1)
        strike(1)
        running.until("lte")
        time.sleep(1)
        strike(1, dead=False)
        time.sleep(0.5)
        healed = time.monotonic()
        running.until("fibre")
        time.sleep(1)
        back = time.monotonic()
        time.sleep(0.5)

    assert stream.gap() < most
    assert stream.lost(healed, back) == 0
    assert running.status()["switches"] == 2


def test_connections_over_a_dead_uplink_are_cut_and_come_back_over_the_other(network: Rig) -> None:
    running = started(network)
    own, boxed = Connection(), Connection("8.8.8.8")
    with going_on(network.namespace("host"), own), going_on(network.namespace("box"), boxed):
        time.sleep(1)
        network.upstream(1)
        running.until("lte")
        until(lambda: own.dialled == 2 and boxed.dialled == 2, 60)
        until(lambda: min(own.times[-1], boxed.times[-1]) > time.monotonic() - 0.5, 60)
    assert own.gap() < 6
    assert boxed.gap() < 12


def test_a_dead_target_moves_nothing(network: Rig) -> None:
    running = started(network)
    network.target(TARGETS[0])
    time.sleep(5)

    assert (running.active, running.status()["switches"]) == (["fibre"], 0)


def test_where_both_are_dead_nothing_is_moved_and_connections_go_on_afterwards(network: Rig) -> None:
    running = started(network)
    with going_on(network.namespace("host"), Connection()) as connection:
        time.sleep(1)
        for number in (1, 2):
            network.upstream(number)
        until(lambda: running.status()["frozen"])
        time.sleep(3)
        for number in (1, 2):
            network.upstream(number, dead=False)
        until(lambda: set(running.phases.values()) == {"up"}, 60)

    assert (running.status()["switches"], connection.dialled) == (0, 1)
    assert "cut" not in running.log()


def test_an_uplink_that_flaps_is_left_once(network: Rig) -> None:
    running = started(network, probing(hold=20.0))
    for _ in range(4):
        network.upstream(1)
        time.sleep(2)
        network.upstream(1, dead=False)
        time.sleep(2)

    assert (running.active, running.status()["switches"]) == (["lte"], 1)


def test_loss_and_delay_are_left_and_come_back_from() -> None:
    numbers = probing(window=4.0, timeout=1.0, rtt_down=0.3, rtt_up=0.15, hold=1.0)
    with rig(impaired=[1]) as network:
        running = agent(network, configuration(numbers))
        time.sleep(8)  # until enough was asked to judge by
        network.weather(1, loss=0.4)
        until(lambda: running.active == ["lte"], 60)
        network.weather(1)
        until(lambda: running.active == ["fibre"], 60)
        network.weather(1, delay=0.25)
        until(lambda: running.active == ["lte"], 60)

        assert "cut" not in running.log()


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


@pytest.mark.parametrize("endpoint", ["8.8.8.8:51820", f"[{TARGETS6[0]}]:51820"])
def test_a_tcp_session_inside_wireguard_survives_and_the_hook_is_told(network: Rig, endpoint: str) -> None:
    tunnel(network, endpoint)
    told = network.folder / "told"
    hook = network.folder / "hook"
    hook.write_text(f'#!/bin/sh\necho "$1 $2" >> {told}\n')
    hook.chmod(0o755)
    running = started(network, hook=str(hook), uplinks=with_ipv6())
    with going_on(network.namespace("host"), Connection(FAR)) as connection:
        until(lambda: len(connection.times) > 5)
        network.upstream(1)
        running.until("lte")
        until(lambda: connection.times[-1] > time.monotonic() - 0.3, 60)
        network.upstream(1, dead=False)
        running.until("fibre")
        time.sleep(1)

    assert connection.dialled == 1
    assert connection.gap() < 8
    assert told.read_text() == "fibre lte\nlte fibre\n"


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
