"""Hosts at a glance, for a person and for a machine."""

import json

from stackctl.core.finding import Finding
from stackctl.doctor import uplinks
from stackctl.doctor.peers import Peer
from stackctl.doctor.status import HostStatus
from stackctl.plan.receipt import Receipt
from stackctl.views.status import status_json, status_text
from tests.doctor.agent import NOW, answer, uplink

RECEIPT = Receipt(
    "r", "alice", "laptop", "3efeb95c0a11", "0.1.0", "prod", "2026-11-24T06:50:17Z", {"wan": "f"}, {"t": {}}
)
WAN = answer(
    uplink("fibre", "down", since=840, active=False),
    uplink("lte", active=True, loss=0.02),
    active=["lte"],
    switches=3,
    last_switch=NOW - 840,
)
EDGE = HostStatus(
    "edge",
    applied=RECEIPT,
    wan=uplinks.read(WAN),
    peers=(Peer("wg0", "gpu1", 95, True), Peer("wg0", "gpu2", 720, True), Peer("wg0", "gpu3", None, True)),
    findings=(Finding("edge · wan", "`fibre` is down"),),
)


def test_a_line_a_host_and_one_or_few_for_uplinks_and_mesh() -> None:
    hosts = (
        EDGE,
        HostStatus("gpu1", applied=RECEIPT, peers=(Peer("wg0", "edge", 95, True),)),
        HostStatus("gpu2"),
        HostStatus("gpu3", reached=False, findings=(Finding("gpu3", "gave no answer"),)),
        HostStatus("gpu4", findings=(Finding("gpu4 · wan", "there is no agent"),)),
    )

    assert (
        status_text(hosts)
        == """\
edge  applied 2026-11-24 06:50:17 UTC by alice from laptop, commit 3efeb95c0a11
  wan   on lte; switched 3 times, 14 min ago
          fibre  down for 14 min
        > lte    up for 2 h         2% lost     25 ms
  mesh  3 peers, 2 silent: gpu2 for 12 min, gpu3 never heard
gpu1  applied 2026-11-24 06:50:17 UTC by alice from laptop, commit 3efeb95c0a11
  mesh  1 peer, the last handshakes 95 s ago or less
gpu2  never applied
gpu3  not reached
gpu4  never applied
  wan   no answer from the agent
2 of 5 hosts well."""
    )


def test_when_all_is_well_the_sum_says_so() -> None:
    assert status_text([HostStatus("edge")]).splitlines()[-1] == "1 host, all well."


def test_a_machine_gets_the_values_without_all_that_the_receipt_has() -> None:
    found = json.loads(status_json([EDGE]))

    [host] = found["hosts"]
    assert (found["well"], host["well"], host["reached"]) == (False, False, True)
    assert host["wan"]["uplinks"][0]["phase"] == "down"
    assert [peer["silent"] for peer in host["peers"]] == [False, True, True]
    assert host["applied"]["who"] == "alice"
    assert "things" not in host["applied"]
