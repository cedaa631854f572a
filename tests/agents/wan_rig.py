"""Two internet providers, an internet and a host on both, as network namespaces that nothing else knows of.

box --- host --- isp1 --- core      core answers for 1.1.1.1, 8.8.8.8 and 9.9.9.9: ping, an echo at port 7
           +---- isp2 ---+          (UDP and TCP) and names at port 53; providers drop foreign sources
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LINK = Path(__file__).with_name("wan_link.py")
ROLES = ("host", "lan", "isp1", "isp2", "core", "box")
ECHO = Path(__file__).with_name("wan_echo.py")
TARGETS = ("1.1.1.1", "8.8.8.8", "9.9.9.9")
TARGETS6 = ("2001:db8:f::1", "2001:db8:f::2", "2001:db8:f::3")
HOME = {1: "203.0.113.2", 2: "198.51.100.2"}
HOME6 = {1: "2001:db8:1::2", 2: "2001:db8:2::2"}
GATEWAY = {1: "203.0.113.1", 2: "198.51.100.1"}
GATEWAY6 = {1: "2001:db8:1::1", 2: "2001:db8:2::1"}


@dataclass
class Rig:
    """The namespaces, what runs in them, and everything that can go wrong there."""

    folder: Path
    name: str
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)
    links: dict[int, "subprocess.Popen[str]"] = field(default_factory=dict)

    def namespace(self, role: str) -> str:
        return f"{self.name}-{role}"

    def argv(self, role: str, *argv: str | Path) -> list[str]:
        """A command in a namespace, with a folder of its own for the sockets of WireGuard."""
        script = 'mount --bind "$0" /run/wireguard && exec "$@"'
        inside = ["ip", "netns", "exec", self.namespace(role), "sh", "-c", script, self.folder / "wireguard"]
        return [str(word) for word in (*inside, *argv)]

    def run(self, role: str, *argv: str | Path, text: str | None = None) -> str:
        """Its output; RuntimeError with what it said where it fails."""
        done = subprocess.run(
            self.argv(role, *argv), input=text, capture_output=True, text=True, check=False, timeout=30
        )
        if done.returncode:
            raise RuntimeError(f"{role}: {' '.join(map(str, argv))}: {done.stderr}{done.stdout}")
        return done.stdout

    def start(self, role: str, *argv: str | Path, **environment: str) -> "subprocess.Popen[str]":
        """A program that ends with the rig; what it says goes to a file of the rig's folder."""
        log = (self.folder / f"{len(self.processes)}.log").open("w")
        with log:
            process = subprocess.Popen(
                self.argv(role, *argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | environment,
            )
        _hurry(process)
        self.processes.append(process)
        return process

    def log(self, process: "subprocess.Popen[str]") -> str:
        return (self.folder / f"{self.processes.index(process)}.log").read_text()

    def upstream(self, number: int, *, dead: bool = True) -> None:
        """Beyond the provider's router nothing passes; the router itself answers."""
        self._drop(f"isp{number}", "forward", dead)

    def gateway(self, number: int, *, dead: bool = True) -> None:
        """The provider's router takes nothing in."""
        self._drop(f"isp{number}", "prerouting", dead)

    def carrier(self, number: int, *, dead: bool = True) -> None:
        """The cable is pulled out."""
        self.run(f"isp{number}", "ip", "link", "set", "lan", "down" if dead else "up")

    def target(self, address: str) -> None:
        """One target answers nobody any more."""
        self.run("core", "nft", "add", "rule", "inet", "faults", "prerouting", "ip", "daddr", address, "drop")

    def weather(self, number: int, *, loss: float = 0.0, delay: float = 0.0) -> None:
        """What the cable behind a provider does to packets; needs an `impaired` rig."""
        stdin = self.links[number].stdin
        assert stdin
        stdin.write(json.dumps({"loss": loss, "delay": delay}) + "\n")
        stdin.flush()

    def _drop(self, role: str, chain: str, dead: bool) -> None:
        self.run(role, "nft", "flush", "chain", "inet", "faults", chain)
        if dead:
            self.run(role, "nft", "add", "rule", "inet", "faults", chain, "drop")

    def close(self) -> None:
        for process in (*self.processes, *self.links.values()):
            process.kill()
        for process in (*self.processes, *self.links.values()):
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        for role in ROLES:
            subprocess.run(["ip", "netns", "del", self.namespace(role)], check=False, capture_output=True)
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def rig(*, impaired: Sequence[int] = (), shared: bool = False) -> Iterator[Rig]:
    """All of it up; providers in `impaired` are behind a cable with weather, `shared` has both on one LAN."""
    folder = Path(tempfile.mkdtemp(prefix="t-wan-"))
    made = Rig(folder, f"t-{folder.name[6:]}")
    try:
        (folder / "wireguard").mkdir()
        Path("/run/wireguard").mkdir(exist_ok=True)
        _wire(made, impaired, shared)
        made.start("core", sys.executable, ECHO, *TARGETS)
        until(lambda: made.run("core", "ss", "-Htln").count(":7 ") == len(TARGETS))
        yield made
    finally:
        made.close()


_FAULTS = """
table inet faults {
  chain prerouting { type filter hook prerouting priority -300; }
  chain forward { type filter hook forward priority 0; }
}
"""
_HOST = """
table inet stackctl_wan {
  chain restore {
    type filter hook prerouting priority -149;
    iifname { "wan1", "wan2" } accept
    ct mark & 0xff != 0 meta mark set ct mark & 0xff
  }
  chain tag {
    type filter hook postrouting priority -150;
    ct mark & 0xff == 0 ct state new oifname "wan1" ct mark set ct mark or 0x1
    ct mark & 0xff == 0 ct state new oifname "wan2" ct mark set ct mark or 0x2
  }
  chain hide {
    type nat hook postrouting priority 100;
    oifname { "wan1", "wan2" } iifname "box" masquerade
  }
}
"""
_SPOOF = """
table inet spoof {{
  chain forward {{
    type filter hook forward priority 1;
    iifname "lan" ip saddr != {home} drop
    iifname "lan" ip6 saddr != {home6} drop
  }}
}}
"""
_SYSCTL = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv4.conf.all.rp_filter=2",
    "net.ipv4.conf.default.rp_filter=2",
    "net.ipv4.conf.all.src_valid_mark=1",
)


def _wire(made: Rig, impaired: Sequence[int], shared: bool) -> None:
    for role in ROLES:
        subprocess.run(["ip", "netns", "add", made.namespace(role)], check=True)
        made.run(role, "sysctl", "-qw", *_SYSCTL)
        made.run(role, "ip", "link", "set", "lo", "up")
    _cable(made, "box", "eth0", "host", "box")
    if shared:
        made.run("lan", "ip", "link", "add", "name", "lan", "up", "type", "bridge")
        _cable(made, "host", "wan1", "lan", "host")
        made.run("lan", "ip", "link", "set", "host", "master", "lan")
    for number in (1, 2):
        if shared:
            _cable(made, f"isp{number}", "lan", "lan", f"isp{number}")
            made.run("lan", "ip", "link", "set", f"isp{number}", "master", "lan")
        else:
            _cable(made, "host", f"wan{number}", f"isp{number}", "lan")
        if number in impaired:
            _impaired(made, number)
        else:
            _cable(made, f"isp{number}", "core", "core", f"isp{number}")
    for role, lines in _addresses(shared).items():
        made.run(role, "ip", "-batch", "-", text="\n".join(lines) + "\n")
    made.run("host", "nft", "-f", "-", text=_HOST)
    made.run("core", "nft", "-f", "-", text=_FAULTS)
    for number in (1, 2):
        own = {"home": HOME[number], "home6": HOME6[number]}
        made.run(f"isp{number}", "nft", "-f", "-", text=_FAULTS + _SPOOF.format(**own))


def _cable(made: Rig, one: str, first: str, other: str, second: str) -> None:
    ends = ("name", second, "netns", made.namespace(other))
    made.run(one, "ip", "link", "add", "name", first, "type", "veth", "peer", *ends)
    for role, name in ((one, first), (other, second)):
        made.run(role, "ip", "link", "set", name, "up")


def _impaired(made: Rig, number: int) -> None:
    ends = (made.namespace(f"isp{number}"), "core", made.namespace("core"), f"isp{number}")
    link = subprocess.Popen(
        [sys.executable, str(LINK), *ends], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _hurry(link)
    made.links[number] = link
    assert link.stdout
    assert link.stdout.readline() == "ready\n"


def _addresses(shared: bool) -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {
        "box": ["addr add 172.30.0.2/24 dev eth0", "route add default via 172.30.0.1"],
        "host": ["addr add 172.30.0.1/24 dev box"],
        "core": [f"addr add {address}/32 dev lo" for address in TARGETS],
    }
    lines["core"] += [f"addr add {address}/128 dev lo nodad" for address in TARGETS6]
    for number in (1, 2):
        host, isp, core = lines["host"], lines.setdefault(f"isp{number}", []), lines["core"]
        host += [
            f"addr add {HOME[number]}/24 dev wan{1 if shared else number}",
            f"addr add {HOME6[number]}/64 dev wan{1 if shared else number} nodad",
        ]
        host += [
            f"route add default via {GATEWAY[number]} dev wan{1 if shared else number} metric {number}00",
            f"route add ::/0 via {GATEWAY6[number]} dev wan{1 if shared else number} metric {number}00",
        ]
        isp += [f"addr add {GATEWAY[number]}/24 dev lan", f"addr add {GATEWAY6[number]}/64 dev lan nodad"]
        isp += [f"addr add 10.0.{number}.2/30 dev core", f"addr add 2001:db8:a{number}::2/64 dev core nodad"]
        isp += [f"route add default via 10.0.{number}.1", f"route add ::/0 via 2001:db8:a{number}::1"]
        core += [
            f"addr add 10.0.{number}.1/30 dev isp{number}",
            f"addr add 2001:db8:a{number}::1/64 dev isp{number} nodad",
        ]
        core += [
            f"route add {HOME[number]} via 10.0.{number}.2",
            f"route add {HOME6[number]} via 2001:db8:a{number}::2",
        ]
    return lines


def _hurry(process: "subprocess.Popen[str]") -> None:
    """What a machine that is busy otherwise makes wait would be measured as the network's own delay."""
    os.setpriority(os.PRIO_PROCESS, process.pid, -20)


def until(met: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)
