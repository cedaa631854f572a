"""Has a WireGuard interface know the peers that its file names, and lets keys change under running traffic.

`wireguard_peers.py sync DEVICE` takes over the file; `follow DEVICE` stays for as long as some key is on its way:
a host that has a new key goes on with its former one until every peer that it talks to has said that it knows the
new one; a peer knows both meanwhile, and gives the addresses to the new one as soon as that one speaks.
"""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import ENODEV
from pathlib import Path

FRESH = 180
"""Seconds after which WireGuard has given up a session that nobody renewed."""
HURRY = 600
"""Seconds for which changes are looked for every tenth of a second, and then every second."""
HEARD = 12
"""Seconds in which a peer that is there answers a word, a lost one and its repetition included."""
TURN = 600
"""Seconds for which a host lets those before it, by name, take their new keys first."""
SETTLED = 60
"""Seconds for which peers are spoken to after a change of the own key."""
CALL = 5
"""Seconds between two calls to a new key that has not spoken: a peer that went on without us answers by no other."""
PATIENCE = 10
"""Seconds that one who would change the interface waits for another; a change takes a fraction of one."""


@dataclass
class Peer:
    """A peer as the file has it."""

    name: str
    key: str
    rows: list[str]
    """Its settings, without the key and the endpoint."""
    allowed: list[str]
    endpoint: str = ""

    @property
    def address(self) -> str:
        """Its own in the mesh, which is always the first."""
        return self.allowed[0].partition("/")[0]


@dataclass
class Config:
    """The file of an interface."""

    name: str = ""
    """The host's own."""
    number: int = 0
    """Of its key."""
    address: str = ""
    port: int = 0
    rows: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)


@dataclass
class Known:
    """A peer as the interface has it."""

    endpoint: str
    allowed: list[str]
    handshake: int

    @property
    def age(self) -> float:
        """Seconds since it last proved who it is."""
        return time.time() - self.handshake


FOLDER = Path("/etc/wireguard")
USE = FOLDER / "stackctl.key"
"""Link to the private key that is in use."""
STATE = Path("/var/lib/stackctl/mesh")


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else changes an interface or what is kept of it meanwhile, from the first look to the last word."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    end = time.monotonic() + PATIENCE
    with (STATE / "lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    sys.exit(f"another holds {lock.name} for more than {PATIENCE} s")
                time.sleep(0.02)
        yield


def former_keys(device: str) -> dict[str, str]:
    """Keys that names had before, for as long as the new one has not spoken."""
    state = STATE / f"{device}.json"
    return json.loads(state.read_text()) if state.exists() else {}


def keep(device: str, former: dict[str, str]) -> None:
    """Remember them over a boot."""
    if former != former_keys(device):
        STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged = STATE / f".{device}.{os.getpid()}"
        staged.write_text(json.dumps(former, sort_keys=True))
        staged.replace(STATE / f"{device}.json")


def read(device: str) -> Config:
    """What the interface's file says."""
    config, text = Config(), (FOLDER / f"{device}.conf").read_text()
    sections = re.split(r"^\[(Interface|Peer)\]\n", text, flags=re.MULTILINE)
    for kind, body in zip(sections[1::2], sections[2::2]):  # noqa: B905 - of one length always
        rows = [row.strip() for row in body.splitlines() if row.strip()]
        said = dict(re.split(r"\s*=\s*", row, maxsplit=1) for row in rows if "=" in row and row[0] != "#")
        named = re.search(r"^# ([a-z0-9-]+), key ([0-9]+)$", body, flags=re.MULTILINE)
        if kind == "Interface":
            config.name, config.number = (named[1], int(named[2])) if named else ("", 0)
            config.address = said.get("Address", "").partition("/")[0]
            config.port = int(said.get("ListenPort", "0"))
            config.rows = [row for row in rows if re.match(r"(ListenPort|FwMark)\b", row)]
            config.routes = re.findall(r"^PostUp = (ip -4 route .*)$", body, flags=re.MULTILINE)
        else:
            kept = [row for row in rows if row[0] != "#" and not re.match(r"(PublicKey|Endpoint)\b", row)]
            allowed = [each.strip() for each in said.get("AllowedIPs", "").split(",")]
            name = named[1] if named else said["PublicKey"]
            config.peers.append(Peer(name, said["PublicKey"], kept, allowed, said.get("Endpoint", "")))
    return config


def known(device: str) -> dict[str, Known]:
    """The interface's peers by key."""
    found = {}
    for row in _output("wg", "show", device, "dump").splitlines()[1:]:
        key, _, endpoint, allowed, handshake, *_ = row.split("\t")
        listed = [] if allowed == "(none)" else allowed.split(",")
        found[key] = Known("" if endpoint == "(none)" else endpoint, listed, int(handshake))
    return found


def sync(device: str) -> None:
    """Have the interface as the file says, sessions and learned endpoints as they are."""
    config, there, former = read(device), known(device), {}
    for peer in config.peers:
        # One that was never heard is no loss.
        holds = (key for key, item in there.items() if peer.allowed[0] in item.allowed and item.handshake)
        before = next(holds, former_keys(device).get(peer.name))
        spoke = peer.key in there and there[peer.key].handshake
        if before is not None and not spoke and all(before != each.key for each in config.peers):
            former[peer.name] = before
    keep(device, former)
    text = composed(config, there, former, USE.read_text())
    subprocess.run(["wg", "syncconf", device, "/dev/stdin"], input=text, text=True, check=True)
    _route(device, config.routes)
    if former or _owes(config):
        _start(device)
    else:
        _forget(config, there)


def composed(config: Config, there: dict[str, Known], former: dict[str, str], private: str) -> str:
    """The configuration for `wg syncconf`.

    Without an endpoint it leaves the one that WireGuard learned: that of the file may be an uplink that is down.
    """
    rows = ["[Interface]", f"PrivateKey = {private.strip()}", *config.rows]
    for peer in config.peers:
        before = former.get(peer.name)
        for key in (before, peer.key) if before else (peer.key,):
            bare = before is not None and key == peer.key
            heard = there.get(before or key)
            kept = [row for row in peer.rows if not bare or row.startswith("PresharedKey")]
            rows += ["[Peer]", f"PublicKey = {key}", *kept]
            rows += [f"PersistentKeepalive = {CALL}"] if bare else []
            if bare and heard is not None and heard.endpoint:
                rows.append(f"Endpoint = {heard.endpoint}")
            elif peer.endpoint and (heard is None or heard.age >= FRESH):
                rows.append(f"Endpoint = {peer.endpoint}")
    return "\n".join(rows) + "\n"


def _route(device: str, wanted: list[str]) -> None:
    for line in wanted:
        subprocess.run(line.replace("%i", device).split(), check=True)
    networks = {line.split()[4].partition("/32")[0] for line in wanted}
    for line in _output("ip", "-4", "route", "show", "dev", device, "proto", "202").splitlines():
        if line.split()[0] not in networks:
            subprocess.run(["ip", "-4", "route", "del", *line.split()[:1], "dev", device], check=False)


def _owes(config: Config) -> bool:
    """Whether the host's own new key waits to be used."""
    wanted = FOLDER / f"stackctl-{config.number}.key"
    return wanted.exists() and USE.resolve() != wanted.resolve()


def _forget(config: Config, there: dict[str, Known]) -> None:
    """Remove keys of before, once every peer has proved that it knows the one in use: who was away knew another."""
    used = FOLDER / f"stackctl-{config.number}.key"
    since = int(USE.lstat().st_mtime)  # handshakes are told in whole seconds
    met = all(peer.key in there and there[peer.key].handshake >= since for peer in config.peers)
    if met and used.exists() and USE.resolve() == used.resolve():
        _remove_former(config.number)


def _remove_former(number: int) -> None:
    """Keys of lower numbers; one of a higher number may be about to be used."""
    for old in FOLDER.glob("stackctl-*.*"):
        named = re.fullmatch(r"stackctl-([0-9]+)\.(key|pub)", old.name)
        if named and int(named[1]) < number:
            old.unlink()


def _start(device: str) -> None:
    """Follow in a unit of its own, which outlasts whoever asked for it."""
    unit = f"stackctl-mesh-follow-{device}"
    if subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode != 0:
        options = f"systemd-run --quiet --collect --unit={unit} -p Restart=on-failure -p RestartSec=1 --"
        command = ("/usr/bin/python3", "-I", str(Path(__file__).resolve()), "follow", device)
        subprocess.run([*options.split(), *command], check=True)


class Follower:
    """One pass after another over what is on its way."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.began = time.time()
        self.poked = 0.0
        self.heard: set[str] = set()
        """Names of peers that know our new key."""
        self.swapped, self.alive = 0, set[str]()
        """When our own key changed, and the keys of the peers that were spoken to then."""
        config = read(device)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        self.socket.bind((config.address, config.port + 1))
        self.socket.setblocking(False)

    def step(self) -> bool:
        """Look once; False when nothing is on its way any more."""
        config, there, former = read(self.device), known(self.device), former_keys(self.device)
        former = self._move(config, there, former)
        owes = _owes(config)
        if time.time() - self.poked >= 1:
            self.poked = time.time()
            self._speak(config, former, owes)
        if owes:
            self._listen(config)
            if self._may_swap(config, there, former):
                self._swap(config, there)
                return True
        deaf = [key for key in self.alive if key in there and there[key].handshake < self.swapped]
        if former or owes or (deaf and time.time() - self.swapped < SETTLED):
            return True
        _forget(config, there)
        return False

    def _move(self, config: Config, there: dict[str, Known], former: dict[str, str]) -> dict[str, str]:
        """Give the addresses to the keys that speak, or whose forerunners have been silent for too long."""
        left = {}
        for peer in config.peers:
            before = former.get(peer.name)
            if before is None:
                continue
            new, old = there.get(peer.key), there.get(before)
            since = max(self.began, old.handshake if old is not None else 0)
            if new is not None and (new.handshake or time.time() - since > FRESH):
                keepalive = [row.split()[-1] for row in peer.rows if row.startswith("PersistentKeepalive")]
                words = ["peer", peer.key, "persistent-keepalive", *(keepalive or ["off"])]
                words += ["allowed-ips", ",".join(peer.allowed), "peer", before, "remove"]
                subprocess.run(["wg", "set", self.device, *words], check=True)
            else:
                left[peer.name] = before
        keep(self.device, left)
        return left

    def _speak(self, config: Config, former: dict[str, str], owes: bool) -> None:
        """Tell each peer that its new key is known; a word to any has WireGuard prove itself to it."""
        for peer in config.peers:
            word = peer.key if peer.name in former else ""
            if word or owes or self.swapped:
                try:
                    self.socket.sendto(word.encode(), (peer.address, config.port + 1))
                except (
                    OSError
                ) as error:  # there is no way to it at the moment, or the interface was made anew
                    if error.errno == ENODEV:
                        raise

    def _listen(self, config: Config) -> None:
        own = (FOLDER / f"stackctl-{config.number}.pub").read_text().strip()
        names = {peer.address: peer.name for peer in config.peers}
        with suppress(BlockingIOError):
            while True:
                word, (address, _) = self.socket.recvfrom(64)
                if word == own.encode() and address in names:
                    self.heard.add(names[address])

    def _may_swap(self, config: Config, there: dict[str, Known], former: dict[str, str]) -> bool:
        """Once all know the new key that could miss us; one at a time, by name, or two would miss each other."""
        waited = time.time() - self.began
        if waited < TURN and any(name < config.name for name in former):
            return False
        missing = [
            there.get(former.get(peer.name, peer.key)) for peer in config.peers if peer.name not in self.heard
        ]
        gone = waited > HEARD and all(item is None or item.age >= FRESH for item in missing)
        return not missing or gone

    def _swap(self, config: Config, there: dict[str, Known]) -> None:
        key = FOLDER / f"stackctl-{config.number}.key"
        self.alive = {name for name, item in there.items() if item.age < FRESH}
        self.swapped = int(time.time())  # handshakes are told in whole seconds
        staged = USE.with_name(f".{USE.name}.{os.getpid()}")
        staged.symlink_to(key.name)
        staged.replace(USE)
        subprocess.run(["wg", "set", self.device, "private-key", key], check=True)
        self._speak(config, former_keys(self.device), owes=True)
        self.poked = time.time()
        if {peer.name for peer in config.peers} <= self.heard:  # who was away knows the former key alone
            _remove_former(config.number)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    os.umask(0o077)
    if sys.argv[1] == "sync":
        with alone():
            sync(sys.argv[2])
    else:
        follower = Follower(sys.argv[2])
        while True:
            with alone():
                if not follower.step():
                    break
            time.sleep(0.1 if time.time() - follower.began < HURRY else 1)
