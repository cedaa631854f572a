"""A host at a glance: what its answers mean."""

from pathlib import Path

from stackctl.capabilities import load_fleet
from stackctl.core.finding import Finding
from stackctl.core.job import Job
from stackctl.doctor.status import Answered, HostStatus, read, scripts, unreached
from stackctl.plan.receipt import Receipt
from stackctl.render import job
from tests.doctor.agent import answer, uplink
from tests.inventory import project

RECEIPT = Receipt("run-1", "alice", "laptop", "3efeb95c0a11", "0.1.0", "test")
UPLINKS = "wan: {uplinks: [{name: fibre, interface: wan1}, {name: lte, interface: wan2}]}"
SHAKEN = "now\t1000\nallowed-ips\twg0\tK=\t10.77.0.2/32\nlatest-handshakes\twg0\tK=\t900\n"


def edge(folder: Path, settings: str = UPLINKS) -> Job:
    found = project(folder, f"hosts: {{edge: {{address: 10.0.0.11, {settings}}}}}")
    return job(load_fleet(found.root, "test"), found, "edge")


def status(found: Job, wan: Answered = (0, "", ""), receipt: str = "", shaken: str = "") -> HostStatus:
    return read(found, "test", [(0, receipt, ""), wan, (0, shaken, "")], {"10.77.0.2": "gpu1"})


def test_a_host_that_works_is_well(tmp_path: Path) -> None:
    found = status(edge(tmp_path), (0, answer(), ""), RECEIPT.text(), SHAKEN)

    assert found.well
    assert found.applied == RECEIPT
    assert found.wan is not None
    assert [(peer.name, peer.age) for peer in found.peers] == [("gpu1", 100)]


def test_a_host_without_uplinks_is_not_asked_about_them(tmp_path: Path) -> None:
    found = edge(tmp_path, "roles: []")

    assert "wan.py" not in "".join(scripts(found))
    assert status(found).well


def test_a_host_whose_agent_does_not_answer_is_not_well(tmp_path: Path) -> None:
    found = status(edge(tmp_path), (66, "", ""))

    assert [finding.what for finding in found.findings] == ["there is no agent on the host yet"]


def test_an_uplink_that_is_down_is_told(tmp_path: Path) -> None:
    found = status(edge(tmp_path), (0, answer(uplink("fibre"), uplink("lte", "down")), ""))

    assert [finding.what for finding in found.findings] == ["`lte` is down"]


def test_a_host_that_was_not_reached_has_its_own_findings() -> None:
    findings = [Finding("edge", "cannot be reached"), Finding("edge2 · x", "failed")]

    assert unreached("edge", findings).findings == (findings[0],)
    assert [item.what for item in unreached("gpu1", findings).findings] == ["gave no answer"]
