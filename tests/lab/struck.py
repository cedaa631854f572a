"""One virtual host for applies that are struck down: set back quickly, looked at closely, mended by the next."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.core.finding import Finding
from stackctl.engine.actor import actor
from stackctl.engine.run import Run
from stackctl.lab import lifecycle
from stackctl.lab.spec import LabSpec
from stackctl.plan.receipt import Visit
from stackctl.render import jobs
from tests.lab.site import FAKE, Site

LAB = "t-faults"
HOST = "box"
ADDRESS = "10.89.0.21"
SECRET = "open sesame"
KEPT = ("audit.jsonl", "receipt.json", "stackctl.chat.env", "stackctl.compose.yaml")

FILES: Mapping[str, tuple[str, ...]] = {
    "set the host name": ("/etc/hostname",),
    "list the fleet in /etc/hosts": ("/etc/hosts",),
    "write the system's settings": ("/etc/sysctl.d/60-stackctl.conf",),
    "configure the engine": ("/etc/docker/daemon.json",),
    "write what tells of drained replicas": (
        "/usr/lib/stackctl/drain.pl",
        "/etc/systemd/system/stackctl-drain.service",
    ),
    "write the models' secrets": ("/etc/stackctl/serving/chat.env",),
    "write the compose project": ("/etc/stackctl/serving/compose.yaml",),
    "write the unit's environment": ("/etc/systemd/system/haproxy.service.d/stackctl.conf",),
    "write the exporter": ("/usr/lib/stackctl/gateway_metrics.py", "/etc/stackctl/gateway_metrics.json"),
    "write the exporter's unit": ("/etc/systemd/system/stackctl-gateway-metrics.service",),
    "write what the configuration names": (
        "/etc/haproxy/stackctl/requests.lua",
        "/etc/haproxy/stackctl/models.map",
    ),
    "write the configuration": ("/etc/haproxy/haproxy.cfg",),
}
"""Files by the step that writes them."""

EFFECTS: Mapping[str, str] = {
    "install the base packages": "dpkg -s tree | grep -q ' ok installed'",
    "set the kernel's values": "[ $(sysctl -n net.ipv4.ip_nonlocal_bind) = 1 ]",
    "run the engine": "[ -f /run/stackctl/units/docker.service ] && systemctl is-active docker",
    "tell gateways of drained replicas": "systemctl is-active stackctl-drain",
    "run the models": "docker ps | grep stackctl-chat-1",
    "run the exporter": "systemctl is-active stackctl-gateway-metrics",
    "run the gateway": "systemctl is-active haproxy",
}
"""What is true on the host once a step is done, and is not before it has begun."""

_RESET = """docker ps -aq | xargs -r docker rm -f
docker network prune -f
systemctl disable -q --now haproxy stackctl-gateway-metrics stackctl-drain
dpkg -r tree
rm -rf /etc/stackctl /var/lib/stackctl /run/stackctl /run/stackctl-*.lock /etc/haproxy/stackctl \
  /etc/haproxy/haproxy.cfg /etc/systemd/system/haproxy.service.d /etc/sysctl.d/60-stackctl.conf \
  /etc/docker/daemon.json /usr/lib/stackctl /etc/systemd/system/stackctl-gateway-metrics.service \
  /etc/systemd/system/stackctl-drain.service
sysctl -qw net.ipv4.ip_nonlocal_bind=0
hostname box; echo box >/etc/hostname
printf '127.0.0.1 localhost\\n127.0.1.1 box\\n' >/etc/hosts
systemctl daemon-reload
"""
"""Docker, HAProxy and the image stay, to save time."""

_LOOK = "find /etc /usr/local /usr/lib/stackctl -xdev -type f -print0 2>/dev/null | xargs -0 sha256sum"
_IDLE = "[ ! -e /run/stackctl/lock ] || flock -w 60 /run/stackctl/lock true"
"""A step that lost its operator has ended."""


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    text: str


@dataclass(frozen=True)
class Looked:
    """The host at one moment."""

    files: Mapping[str, str]
    """Hash by path, of all settings."""
    true: frozenset[str]
    """Steps whose effects are there."""
    visits: tuple[Visit, ...]


class Struck:
    """The host, its lab and its project."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.bare: Mapping[str, str] = {}
        self.final: Mapping[str, str] = {}

    def learn(self) -> None:
        """Apply once, so that what stays is there, and once more for what a bare and a finished host are like."""
        self.on("mkdir -p /srv/weights/none")
        assert self.converge() == ()
        self.reset()
        self.bare = self.look().files
        assert self.converge() == ()
        self.final = self.look().files

    def on(self, script: str) -> str:
        """Run a shell script on the host, past SSH."""
        return self.site.on(HOST, script)

    def reset(self) -> None:
        """Make the host bare again."""
        self.on(f"{{ {_RESET} }} >/dev/null 2>&1")

    def start(self, *words: str, program: Sequence[str] = ("stackctl",)) -> "subprocess.Popen[str]":
        """The real program on this project; `program` is what comes between `python -m` and its words."""
        return subprocess.Popen(
            [sys.executable, "-m", *program, *words, "--project", str(self.site.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "FAULTS_KEY": SECRET},
        )

    def ended(self, process: "subprocess.Popen[str]") -> Ended:
        """Wait for its end."""
        with process:
            text, _ = process.communicate(timeout=300)
        assert "Traceback" not in text, text
        assert SECRET not in text
        return Ended(process.returncode, text)

    def strike(self, kind: str, number: int) -> Ended:
        """An apply struck at one of its exchanges; the host's own part of it comes to its end."""
        program = ("tests.lab.faults", kind, str(number), "--")
        ended = self.ended(self.start("apply", LAB, "--yes", program=program))
        self.on(_IDLE)
        return ended

    def look(self) -> Looked:
        """See what the host is like."""
        tried = "".join(
            f"({test}) >/dev/null 2>&1 && echo {shlex.quote(name)}\n" for name, test in EFFECTS.items()
        )
        files, _, rest = self.on(f"{_LOOK}; echo =====; {tried} true").partition("=====\n")
        hashes = {path: sha for sha, _, path in (line.partition("  ") for line in files.splitlines())}
        with self._run() as run:
            run.connect()
            told, findings = run.history()
        assert findings == ()
        return Looked(hashes, frozenset(rest.splitlines()), told[HOST])

    def converge(self) -> tuple[Finding, ...]:
        """Apply and see, in this process to save time; what stood against it, or what is left."""
        with self._run() as run:
            run.connect()
            outcome = run.apply(run.plan())
            findings = [finding for host in outcome.hosts for finding in host.findings]
            drifted = [] if findings else [*run.drift().hosts]
            left = [reading.plan for reading in run.readings.values()] if not findings else []
        findings += [Finding(HOST, f"left: {host.left}") for host in outcome.hosts if host.left]
        findings += [Finding(HOST, f"plan: {plan.changes}") for plan in left if plan.changes]
        findings += [Finding(HOST, f"drift: {each}") for each in drifted if each.drifted]
        return tuple(findings)

    def _run(self) -> Run:
        os.environ["FAULTS_KEY"] = SECRET
        project = projects.of(self.site.folder)
        found = jobs(load_fleet(project.root, LAB), project)
        return Run(LAB, found, project.deploy, lambda _: None, lambda: actor(""))

    def untrue(self, seen: Looked) -> Iterator[str]:
        """What of the host contradicts its own log, or is half-written."""
        for path, sha in seen.files.items():
            if sha not in {self.bare.get(path), self.final.get(path)}:
                yield f"{path} is neither the old nor the new"
        steps = seen.visits[-1].steps if seen.visits else ()
        begun = {step.operation for step in steps}
        done = {step.operation for step in steps if step.result == "done"}
        written = {
            path for path, sha in self.final.items() if self.bare.get(path) != sha == seen.files.get(path)
        }
        for name, paths in FILES.items():
            if name in done and not written.issuperset(paths):
                yield f"`{name}` is noted as done and is not"
            if name not in begun and written.intersection(paths):
                yield f"`{name}` was done without a note"
        yield from (f"`{name}` is noted as done and is not" for name in (done & EFFECTS.keys()) - seen.true)
        yield from (f"`{name}` was done without a note" for name in seen.true - begun)
        open_ = [step.operation for step in steps if step.result != "done"]
        if open_ not in ([], [steps[-1].operation] if steps else []):
            yield f"steps without an end are not the last alone: {open_}"

    def unfinished(self) -> Iterator[str]:
        """What of a host that has been mended is not as on one that was never struck."""
        seen = self.look()
        for path in sorted(seen.files.keys() | self.final.keys()):
            if seen.files.get(path) != self.final.get(path):
                yield f"{path} is not as it should be"
        yield from (f"`{name}` is not so" for name in EFFECTS.keys() - seen.true)
        # How long a start took is only known where somebody saw its end.
        kept = [name for name in self.on("ls -A /var/lib/stackctl").split() if not name.endswith(".seconds")]
        if tuple(kept) != KEPT:
            yield f"/var/lib/stackctl holds {kept}"
        # The file of a lock that nobody holds stays where the next apply found nothing to do.
        if not set(self.on("ls -A /run/stackctl").split()) <= {"units", "lock"}:
            yield f"/run/stackctl holds {self.on('ls -A /run/stackctl').split()}"


def raised(folder: Path) -> Iterator[Struck]:
    """The host in a lab of its own, for as long as somebody needs it."""
    site = Site(folder, LabSpec.of(LAB, {HOST: ADDRESS}))
    _write_project(site)
    lifecycle.up(site.spec, lambda _: None)
    try:
        struck = Struck(site)
        struck.learn()
        yield struck
    finally:
        lifecycle.down(LAB)


def _write_project(site: Site) -> None:
    stock = projects.stock("templates") / "gateway/requests.lua.j2"
    ours = site.folder / "templates/gateway/requests.lua.j2"
    ours.parent.mkdir(parents=True)
    # So large that it is in the middle of the file that a transfer is cut.
    padding = "-- so that the middle of a transfer is the middle of this file\n" * 6000
    ours.write_text(stock.read_text() + padding)
    site.write({"chat": {**FAKE, "env": {"FAKE_KEY": {"secret": "key"}}}}, environment())


def environment() -> dict[str, Any]:
    """The environment, fresh."""
    system = {"hostname": "crate", "time": "external", "packages": ["tree"]}
    return {
        "environment": LAB,
        "lab": {},
        "network": {"domain": "stack.lab"},
        "secrets": {"key": "env:FAULTS_KEY"},
        "hosts": {HOST: {"address": ADDRESS, "roles": ["models", "gateway"], "system": system}},
        "placements": {"chat": [{"host": HOST, "devices": ["cpu"]}]},
    }
