"""The agent against real kernels' routes, sockets and cables, in namespaces of its own.

Bounds on time are those of a crowded machine; `python -m tests.bench.wan` measures.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.agents.wan_rig import TARGETS, TARGETS6, Rig, rig, until
from tests.agents.wan_running import BALANCED, agent, configuration, probing, started, with_ipv6
from tests.agents.wan_streams import Connection, Datagrams, going_on
from tests.agents.wan_tunnel import FAR, tunnel

pytestmark = pytest.mark.lab

Fault = Callable[..., None]


@pytest.fixture
def network() -> Iterator[Rig]:
    with rig() as made:
        yield made


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


def test_two_routers_on_one_lan_are_two_uplinks() -> None:
    with rig(shared=True) as network:
        written = configuration(probing())
        written["uplinks"][1]["interface"] = "wan1"
        running = agent(network, written)
        until(lambda: set(running.phases.values()) == {"up"})
        with going_on(network.namespace("host"), Datagrams()) as stream:
            network.upstream(1)
            running.until("lte")
            time.sleep(1)
            network.upstream(1, dead=False)
            time.sleep(0.5)
            healed = time.monotonic()
            running.until("fibre")
            time.sleep(1)
            back = time.monotonic()
            time.sleep(0.5)

        assert stream.gap() < 4
        assert stream.lost(healed, back) == 0


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
