"""The hosts: one container of a lab's kind behind many addresses, 20 ms away from the operator."""

import contextlib
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from stackctl import namespace
from stackctl.core.finding import FailureError, Finding
from stackctl.lab import base, cache, checks, host, keys, lifecycle
from stackctl.lab.mirror import read_mirror
from stackctl.lab.shell import inside, run
from stackctl.lab.spec import LAN, OPERATOR_ADDRESS, LabHost, LabSpec
from stackctl.lab.status import remains
from tests.bench import work

NAME = "bench"
"""As a lab: after a kill that left something, `stackctl lab down bench` removes it."""
ADDRESSES = tuple(str(LAN[number]) for number in range(11, 71))
DELAY_US = 10_000
"""One way; a round trip takes twice that."""

_INTERFACE = "eth0"
_PACKAGES = ("python3", "python3-apt")
"""What Ansible needs on a host, on top of a fresh Debian server."""
_SSHD = """\
# All hosts are one, and one operator comes to all of them at once.
MaxStartups 1000
MaxSessions 1000
PerSourcePenalties no
"""


@dataclass(frozen=True)
class Target:
    """The running hosts."""

    spec: LabSpec
    delay: str
    """What holds the packets back: `netem` or `tun`."""

    @property
    def key(self) -> Path:
        """Private key that logs in as root."""
        return self.spec.key

    @property
    def known_hosts(self) -> Path:
        """Host keys of all addresses."""
        return self.spec.state / "bench_known_hosts"

    def from_operator(self, argv: Sequence[str | Path]) -> list[str]:
        """The same command with the operator's network."""
        return [str(word) for word in inside(self.spec.namespace("operator"), argv)]

    def on(self, script: str) -> str:
        """Run a shell script on the host, past SSH."""
        return run([*host.entering(self.spec, self.spec.hosts[0]), "sh", "-c", script])

    @contextlib.contextmanager
    def spoiled(self) -> Iterator[int]:
        """A file, a line and a service put wrong for the length of a block; yields how many that is."""
        first = work.work_of(4)
        (file,), (line,), (unit,) = first.files, first.lines, first.units
        keep = f"cp -p {file} {file}.kept; cp -p {line} {line}.kept"
        self.on(f"{keep}; echo x >>{file}; sed -i /option/d {line}; systemctl stop {unit}")
        try:
            yield 3
        finally:
            self.on(f"mv {file}.kept {file}; mv {line}.kept {line}; systemctl start {unit}")

    def round_trip(self, tries: int = 21) -> float:
        """Median seconds that a TCP connection takes to be made."""
        return statistics.median(self._connect() for _ in range(tries))

    def _connect(self) -> float:
        def timed() -> float:
            begin = time.perf_counter()
            with socket.create_connection((ADDRESSES[0], 22), timeout=5):
                return time.perf_counter() - begin

        return namespace.within(self.spec.namespace("operator"), timed)


@contextlib.contextmanager
def target(folder: Path) -> Iterator[Target]:
    """The hosts for the length of a block; nothing of them is left after it, whatever ends it."""
    spec = LabSpec(NAME, (LabHost("target", IPv4Address(ADDRESSES[0])),), images=())
    if left := remains(NAME):
        hint = f"run `stackctl lab down {NAME}`, unless another bench is at work"
        raise FailureError(Finding("bench", f"this machine still has {', '.join(left)}", hint))
    checks.check(spec)
    try:
        with contextlib.ExitStack() as stack:
            yield _raise(spec, folder, stack)
    finally:
        lifecycle.down(NAME)


def _raise(spec: LabSpec, folder: Path, stack: contextlib.ExitStack) -> Target:
    mirror = read_mirror()
    with lifecycle.only_one(NAME):
        keys.make_keys(spec)
        with cache.locked("namespaces"):
            for name in _ends(spec):
                run(["ip", "netns", "add", name])
        found = Target(spec, _lay_cable(spec, folder, stack))
        _address(spec)
        host.prepare(spec, spec.hosts[0], base.base_of("trixie", mirror, _PACKAGES), mirror)
        _furnish(found)
        host.boot(spec, spec.hosts[0])
    host.wait_until_up(spec, spec.hosts[0])
    return found


def _ends(spec: LabSpec) -> tuple[str, str]:
    return spec.namespace("operator"), spec.host_namespace("target")


def _lay_cable(spec: LabSpec, folder: Path, stack: contextlib.ExitStack) -> str:
    """Join operator and host; the kernel's own delay where it has one, else our wire."""
    near, far = _ends(spec)
    run(
        [
            "ip",
            "-n",
            near,
            "link",
            "add",
            _INTERFACE,
            "type",
            "veth",
            "peer",
            "name",
            _INTERFACE,
            "netns",
            far,
        ]
    )
    netem = ["root", "netem", "delay", f"{DELAY_US}us", "limit", "100000"]
    try:
        for end in (near, far):
            run(["tc", "-n", end, "qdisc", "add", "dev", _INTERFACE, *netem])
    except FailureError:
        run(["ip", "-n", near, "link", "del", _INTERFACE])
    else:
        return "netem"
    wire = folder / "link"
    run(["cc", "-O2", "-o", wire, Path(__file__).with_name("link.c")])
    places = [f"/run/netns/{end}" for end in (near, far)]
    process = stack.enter_context(
        subprocess.Popen([wire, _INTERFACE, str(DELAY_US), *places], stdout=subprocess.PIPE)
    )
    stack.callback(process.kill)
    if process.stdout is None or process.stdout.readline() != b"ready\n":
        raise FailureError(Finding("bench", "the delayed link does not start", "see the line above"))
    return "tun"


def _address(spec: LabSpec) -> None:
    near, far = _ends(spec)
    width = LAN.prefixlen
    addresses = {near: [f"{OPERATOR_ADDRESS}/{width}"], far: [f"{address}/{width}" for address in ADDRESSES]}
    for end, own in addresses.items():
        lines = ["link set lo up", f"link set {_INTERFACE} txqueuelen 10000 up"]
        lines += [f"addr add {address} dev {_INTERFACE}" for address in own]
        run(["ip", "-n", end, "-batch", "-"], stdin="\n".join(lines) + "\n")


def _furnish(found: Target) -> None:
    """Write what all contenders ask for, before the host boots."""
    spec = found.spec
    root = spec.home("target") / "root"
    for path, text in work.host_files().items():
        keys.write(root / path.lstrip("/"), text)
    keys.write(root / "etc/ssh/sshd_config.d/bench.conf", _SSHD)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    for unit in work.work_of(work.MOST).units:
        (wanted / unit).symlink_to(f"/etc/systemd/system/{unit}")
    public = keys.public(keys.host_key(spec, spec.hosts[0]))
    keys.write(found.known_hosts, "".join(f"{address} {public}\n" for address in ADDRESSES))
