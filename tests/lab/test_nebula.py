"""A mesh by nebula on virtual hosts: who has a certificate of ours is in, nobody else.

The tests of this module share one lab and build on each other, in order.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackctl.lab import lifecycle
from stackctl.lab.spec import OPERATOR_ADDRESS, LabSpec
from tests.lab.site import Site
from tests.mesh.signing import lasting

pytestmark = pytest.mark.lab

LAB = "t-nebula"
HOSTS = {"edge": "10.89.0.11", "gpu1": "10.89.0.12", "other": "10.89.0.13"}
MESH = {"edge": "10.77.0.11", "gpu1": "10.77.0.12", "other": "10.77.0.13"}
SYSTEMS = {"other": "debian-12"}
"""Whose nebula is 1.6 where that of the others is 1.9."""
FILES = "/etc/nebula/stackctl"
DAY = 86_400
DAYS = 30


@dataclass
class Fleet:
    """Two hosts that are in the mesh, and one that is not."""

    site: Site
    authority: Path
    """Folder of `ca.crt` and `ca.key`."""
    settings: dict[str, Any]
    """Of each host in the mesh, beside its address there."""

    def write(self, **nebula: Any) -> None:
        """The inventory as it is to be."""
        mesh = {
            "subnet": "10.77.0.0/24",
            "backend": "nebula",
            "nebula": {
                "authority": (self.authority / "ca.crt").read_text(),
                "key": "mesh-ca",
                "days": DAYS,
                **nebula,
            },
        }
        hosts: dict[str, Any] = {
            name: {
                "address": address,
                "os": SYSTEMS.get(name, "debian-13"),
                "system": {"time": "external"},
            }
            for name, address in HOSTS.items()
        }
        for name, more in self.settings.items():
            hosts[name]["mesh"] = {"address": MESH[name], **more}
        self.site.write(
            {},
            {
                "environment": LAB,
                "lab": {},
                "network": {"mesh": mesh},
                "secrets": {"mesh-ca": f"file:{self.authority / 'ca.key'}"},
                "hosts": hosts,
            },
        )

    def apply(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.site.stackctl("apply", LAB, "--yes", *words)

    def plan(self) -> dict[str, list[tuple[str, str]]]:
        """Operation and reason of what an apply would do, by host."""
        planned = json.loads(self.site.stackctl("plan", LAB, "--json").stdout)
        return {
            host["host"]: [(change["operation"], change["reason"]) for change in host["changes"]]
            for host in planned["hosts"]
            if host["changes"]
        }

    def on(self, host: str, command: str) -> str:
        return self.site.on(host, command)

    def certificate(self, host: str) -> dict[str, Any]:
        """What the host's own program says that its certificate says."""
        details: dict[str, Any] = self._printed(host)["details"]
        return details

    def fingerprint(self, host: str) -> str:
        return str(self._printed(host)["fingerprint"])

    def _printed(self, host: str) -> dict[str, Any]:
        printed: dict[str, Any] = json.loads(
            self.on(host, f"nebula-cert print -json -path {FILES}/host.crt").splitlines()[0]
        )
        return printed

    def reaches(self, host: str, address: str, seconds: int = 10) -> bool:
        """Whether it has an answer from the address within so many seconds."""
        ping = f"ping -c1 -W1 {address} >/dev/null 2>&1"
        script = f"for i in $(seq {seconds}); do {ping} && echo yes && exit; done; echo no"
        return self.on(host, script).strip() == "yes"


def made(folder: Path, name: str) -> Path:
    """An authority of that name."""
    folder.mkdir()
    words = ["nebula-cert", "ca", "-name", name, "-duration", f"{24 * 365}h"]
    subprocess.run([*words, "-out-crt", folder / "ca.crt", "-out-key", folder / "ca.key"], check=True)
    return folder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("project")
    authority = made(tmp_path_factory.mktemp("authority") / "ours", "ours")
    fleet = Fleet(
        Site(folder, LabSpec.of(LAB, HOSTS, systems=SYSTEMS)), authority, {"edge": {"hub": True}, "gpu1": {}}
    )
    fleet.write()
    lifecycle.up(fleet.site.spec, lambda _: None)
    yield fleet
    lifecycle.down(LAB)


def test_an_operator_who_cannot_sign_is_told_so_before_anything_is_changed(
    fleet: Fleet, tmp_path: Path
) -> None:
    for program in ("ip", "ssh", "git"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    words = ("apply", LAB, "--yes")

    with fleet.site.start(*words, environment={**os.environ, "PATH": str(tmp_path)}) as process:
        _, err = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "`nebula-cert`: is not on this machine, which signs the certificates of the mesh" in err
    assert "apt install nebula" in err
    assert fleet.on("edge", "ls /etc/nebula 2>&1 || true").strip().endswith("No such file or directory")


def test_hosts_with_a_certificate_of_ours_reach_each_other(fleet: Fleet) -> None:
    done = fleet.apply()

    assert done.returncode == 0, done.stdout + done.stderr
    assert fleet.reaches("gpu1", MESH["edge"])
    assert fleet.reaches("edge", MESH["gpu1"])
    details = fleet.certificate("gpu1")
    assert (details["name"], details["ips"], details["groups"]) == ("gpu1", ["10.77.0.12/24"], [])


def test_a_second_apply_has_nothing_to_do(fleet: Fleet) -> None:
    assert fleet.plan() == {}


def test_private_keys_are_where_they_were_born(fleet: Fleet) -> None:
    key = (fleet.authority / "ca.key").read_text().splitlines()[1]

    assert fleet.on("edge", f"stat -c '%a %U' {FILES}/host-1.key") == "600 root\n"
    for host in ("edge", "gpu1"):
        assert fleet.on(host, f"grep -rlF {key} /etc /run/stackctl /var/lib /tmp 2>/dev/null || true") == ""
    own = fleet.on("edge", f"sed -n 2p {FILES}/host-1.key").strip()
    assert not any(own in path.read_text() for path in fleet.site.folder.rglob("*") if path.is_file())


def test_a_host_with_a_certificate_of_anothers_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    foreign = made(tmp_path / "theirs", "theirs")
    words: list[str | Path] = [
        "nebula-cert",
        "sign",
        "-ca-crt",
        foreign / "ca.crt",
        "-ca-key",
        foreign / "ca.key",
    ]
    words += ["-name", "other", "-ip", "10.77.0.13/24"]
    subprocess.run([*words, "-out-crt", foreign / "h.crt", "-out-key", foreign / "h.key"], check=True)
    pki = {name: (foreign / file).read_text() for name, file in (("cert", "h.crt"), ("key", "h.key"))}
    pki["ca"] = (fleet.authority / "ca.crt").read_text() + (foreign / "ca.crt").read_text()
    anyone = [{"port": "any", "proto": "any", "host": "any"}]
    settings = {
        "pki": pki,
        "static_host_map": {MESH["edge"]: [f"{HOSTS['edge']}:51820"]},
        "lighthouse": {"hosts": [MESH["edge"]]},
        "firewall": {"inbound": anyone, "outbound": anyone},
    }
    fleet.on("other", "apt-get -qq update && apt-get -qq install -y nebula >/dev/null 2>&1")
    fleet.on("other", f"cat >/etc/nebula.yml <<'END'\n{yaml.safe_dump(settings)}END\n")
    fleet.on("other", "systemd-run -q --unit=intruder nebula -config /etc/nebula.yml; sleep 2")

    assert not fleet.reaches("other", MESH["edge"], seconds=3)
    assert fleet.on("other", "systemctl is-active intruder").strip() == "active"
    assert "certificate" in fleet.on("edge", f"journalctl -u stackctl-nebula | grep -F {HOSTS['other']}:")
    assert fleet.reaches("gpu1", MESH["edge"])
    fleet.on("other", "systemctl stop intruder")


def test_a_host_that_is_added_is_let_in_and_the_others_learn_its_name_alone(fleet: Fleet) -> None:
    fleet.settings["other"] = {"groups": ["guests"]}
    fleet.write()

    planned = fleet.plan()
    for host in ("edge", "gpu1"):
        assert [operation for operation, _ in planned[host]] == ["list the fleet in /etc/hosts"]
    assert fleet.apply().returncode == 0

    assert fleet.reaches("other", MESH["edge"])
    assert fleet.reaches("other", MESH["gpu1"])
    assert fleet.certificate("other")["groups"] == ["guests"]


def test_a_host_takes_a_new_key_and_forgets_the_one_before(fleet: Fleet) -> None:
    fleet.settings["gpu1"] = {"key": 2}
    fleet.write()

    done = fleet.apply()

    assert done.returncode == 0, done.stderr
    assert fleet.on("gpu1", f"cd {FILES} && ls *.key *.pub") == "host-2.key\nhost-2.pub\n"
    assert fleet.reaches("gpu1", MESH["edge"])
    assert fleet.plan() == {}


def test_a_host_that_cuts_the_operator_off_is_back_by_itself_within_a_minute(fleet: Fleet) -> None:
    fleet.settings["other"]["routes"] = [f"{OPERATOR_ADDRESS}/32"]
    fleet.write()

    with fleet.site.start("apply", LAB, "--yes", "--limit", "edge") as process:
        wait(fleet, cut_off=True, seconds=60)
        wait(fleet, cut_off=False, seconds=60)
        _, err = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "the change to mesh cut this machine off; the host is as it was before" in err
    assert fleet.reaches("edge", MESH["gpu1"])
    fleet.settings["other"].pop("routes")
    fleet.write()
    assert fleet.plan() == {}


def wait(fleet: Fleet, *, cut_off: bool, seconds: int) -> None:
    """Until the edge's way to the operator leads into the mesh, or no longer."""
    began = time.monotonic()
    while ("nebula1" in fleet.on("edge", f"ip route get {OPERATOR_ADDRESS}")) != cut_off:
        assert time.monotonic() - began < seconds
        time.sleep(0.5)


def test_a_certificate_is_renewed_in_the_last_third_of_its_life_and_no_tunnel_is_lost(fleet: Fleet) -> None:
    age(fleet, "gpu1")
    before = fleet.on("gpu1", "systemctl show -p MainPID --value stackctl-nebula")

    planned = fleet.plan()
    reasons = dict(planned["gpu1"])
    assert list(planned) == ["gpu1"]
    assert reasons["have a certificate of the authority's"].startswith("renew it: it ends on ")
    assert reasons["run the mesh"].startswith("reload stackctl-nebula.service")

    fleet.on("gpu1", f"systemd-run -q --unit=stream sh -c 'ping -D -i 0.1 {MESH['edge']} >/run/stream'")
    assert fleet.apply().returncode == 0
    fleet.on("gpu1", "systemctl kill -s INT --kill-whom=all stream; sleep 0.5")

    assert fleet.plan() == {}
    assert " 0% packet loss" in fleet.on("gpu1", "tail -n 3 /run/stream")
    assert fleet.on("gpu1", "systemctl show -p MainPID --value stackctl-nebula") == before
    ends = time.mktime(time.strptime(fleet.certificate("gpu1")["notAfter"][:10], "%Y-%m-%d"))
    assert ends - time.time() > (DAYS - 2) * DAY


def test_a_certificate_that_is_taken_back_lets_nobody_in_any_more(fleet: Fleet) -> None:
    assert fleet.reaches("other", MESH["edge"])
    fleet.write(revoked=[fleet.fingerprint("other")])

    assert fleet.apply("--limit", "edge").returncode == 0

    for _ in range(60):  # nebula looks at its tunnels every few seconds
        if not fleet.reaches("other", MESH["edge"], seconds=1):
            break
        time.sleep(0.5)
    assert not fleet.reaches("other", MESH["edge"], seconds=2)
    assert fleet.reaches("gpu1", MESH["edge"])


def age(fleet: Fleet, host: str) -> None:
    """Have the host's certificate in the last third of its life."""
    now = int(time.time())
    text = fleet.on(host, f"cat {FILES}/host.crt")
    aged = lasting(text, fleet.authority, now - 25 * DAY, now + 5 * DAY)
    fleet.on(host, f"cat >{FILES}/host.crt <<'END'\n{aged}END\n")
    fleet.on(host, "systemctl reload stackctl-nebula")
