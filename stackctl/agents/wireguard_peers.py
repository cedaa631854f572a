"""Has a WireGuard interface know the peers that its file names, and lets keys change under running traffic.

`wireguard_peers.py sync DEVICE` takes over the file; `follow DEVICE` stays for as long as some key is on its way:
a host that has a new key goes on with its former one until every peer that it talks to has said that it knows the
new one; a peer knows both meanwhile, and gives the addresses to the new one as soon as that one speaks.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

FRESH = 180
"""Seconds after which WireGuard has given up a session that nobody renewed."""
POLL = 0.1
SLOW = 1.0
HURRY = 600
"""Seconds for which changes are looked for every tenth of a second."""
POKE = 1.0
HEARD = 12
"""Seconds in which a peer that is there answers a poke, a lost one and its repetition included."""
TURN = 600
"""Seconds for which a host lets those before it, by name, take their new keys first."""
PROTOCOL = "202"
"""Marks the routes that are ours."""


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
        """Its own address in the mesh, which is always the first."""
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


def read(device: str) -> Config:
    """The interface's own file."""
    return parse((FOLDER / f"{device}.conf").read_text())


def former_keys(device: str) -> dict[str, str]:
    """Keys that names had before, for as long as the new one has not spoken."""
    try:
        found = json.loads((STATE / f"{device}.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(key) for name, key in found.items()} if isinstance(found, dict) else {}


def keep(device: str, former: dict[str, str]) -> None:
    """Remember them over a boot."""
    if former != former_keys(device):
        STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged = STATE / f".{device}.{os.getpid()}"
        staged.write_text(json.dumps(former, sort_keys=True))
        staged.replace(STATE / f"{device}.json")


def parse(text: str) -> Config:
    """What a file says, as `wg` and we read it."""
    config = Config()
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
            config.routes = [
                match[1] for row in rows if (match := re.match(r"PostUp = (ip -4 route .*)", row))
            ]
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
        before = _holder(peer, there) or former_keys(device).get(peer.name)
        spoke = peer.key in there and there[peer.key].handshake
        if before is not None and not spoke and all(before != each.key for each in config.peers):
            former[peer.name] = before
    keep(device, former)
    text = composed(config, there, former, USE.read_text())
    subprocess.run(["wg", "syncconf", device, "/dev/stdin"], input=text, text=True, check=True)
    _route(device, config.routes)
    if former or _owes(config):
        _start(device)


def _holder(peer: Peer, there: dict[str, Known]) -> str | None:
    """The key that has the peer's address now and was ever heard; one that was not is no loss."""
    holders = [key for key, item in there.items() if peer.allowed[0] in item.allowed and item.handshake]
    return holders[0] if holders else None


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
            if bare and heard is not None and heard.endpoint:
                rows.append(f"Endpoint = {heard.endpoint}")
            elif peer.endpoint and (heard is None or heard.age >= FRESH):
                rows.append(f"Endpoint = {peer.endpoint}")
    return "\n".join(rows) + "\n"


def _route(device: str, wanted: list[str]) -> None:
    for line in wanted:
        subprocess.run(line.replace("%i", device).split(), check=True)
    listed = _output("ip", "-4", "route", "show", "dev", device, "proto", PROTOCOL)
    networks = {line.split()[4].partition("/32")[0] for line in wanted}
    for line in listed.splitlines():
        if line.split()[0] not in networks:
            subprocess.run(["ip", "-4", "route", "del", *line.split()[:1], "dev", device], check=False)


def _owes(config: Config) -> bool:
    """Whether the host's own new key waits to be used."""
    wanted = FOLDER / f"stackctl-{config.number}.key"
    return wanted.exists() and USE.resolve() != wanted.resolve()


def _start(device: str) -> None:
    """Follow in a unit of its own, which outlasts whoever asked for it."""
    unit = f"stackctl-mesh-follow-{device}"
    if subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode != 0:
        options = ["--quiet", "--collect", f"--unit={unit}", "-p", "Restart=on-failure", "-p", "RestartSec=1"]
        command = ["/usr/bin/python3", "-I", str(Path(__file__).resolve()), "follow", device]
        subprocess.run(["systemd-run", *options, "--", *command], check=True)


class Follower:
    """One pass after another over what is on its way."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.began = time.time()
        self.poked = 0.0
        self.heard: set[str] = set()
        """Names of peers that know our new key."""
        self.swapped: int | None = None
        self.alive: set[str] = set()
        """Keys of the peers that were spoken to when our own changed."""
        config = read(device)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        self.socket.bind((config.address, config.port + 1))
        self.socket.setblocking(False)

    def run(self) -> None:
        """Until nothing is on its way."""
        while self.step():
            time.sleep(POLL if time.time() - self.began < HURRY else SLOW)

    def step(self) -> bool:
        """Look once; False when nothing is on its way any more."""
        config, there, former = read(self.device), known(self.device), former_keys(self.device)
        former = self._move(config, there, former)
        owes = _owes(config)
        if time.time() - self.poked >= POKE:
            self.poked = time.time()
            self._speak(config, former, owes)
        if owes:
            self._listen(config)
            if self._may_swap(config, there, former):
                self._swap(config, there)
                return True
        return bool(former) or owes or self._settling(there)

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
                command = ["wg", "set", self.device, "peer", peer.key]
                command += ["allowed-ips", ",".join(peer.allowed)]
                keepalive = [row.split()[-1] for row in peer.rows if row.startswith("PersistentKeepalive")]
                command += ["persistent-keepalive", *keepalive] if keepalive else []
                subprocess.run([*command, "peer", before, "remove"], check=True)
            else:
                left[peer.name] = before
        keep(self.device, left)
        return left

    def _speak(self, config: Config, former: dict[str, str], owes: bool) -> None:
        """Tell each peer that its new key is known; a word to any has WireGuard prove itself to it."""
        for peer in config.peers:
            word = peer.key if peer.name in former else ""
            if word or owes or self.swapped is not None:
                try:
                    self.socket.sendto(word.encode(), (peer.address, config.port + 1))
                except OSError:
                    continue  # there is no way to it at the moment

    def _listen(self, config: Config) -> None:
        own = (FOLDER / f"stackctl-{config.number}.pub").read_text().strip()
        names = {peer.address: peer.name for peer in config.peers}
        while True:
            try:
                word, (address, _) = self.socket.recvfrom(64)
            except OSError:
                return
            if word.decode(errors="replace") == own and address in names:
                self.heard.add(names[address])

    def _may_swap(self, config: Config, there: dict[str, Known], former: dict[str, str]) -> bool:
        """Once all know the new key that could miss us; one at a time, by name, or two would miss each other."""
        waited = time.time() - self.began
        if waited < TURN and any(name < config.name for name in former):
            return False
        missing = [peer for peer in config.peers if peer.name not in self.heard]
        silent = [peer for peer in missing if self._is_silent(peer, there, former)]
        return not missing or (waited > HEARD and silent == missing)

    def _is_silent(self, peer: Peer, there: dict[str, Known], former: dict[str, str]) -> bool:
        item = there.get(former.get(peer.name, peer.key))
        return item is None or item.age >= FRESH

    def _swap(self, config: Config, there: dict[str, Known]) -> None:
        key = FOLDER / f"stackctl-{config.number}.key"
        self.alive = {name for name, item in there.items() if item.age < FRESH}
        self.swapped = int(time.time())  # handshakes are told in whole seconds
        link(USE, key.name)
        subprocess.run(["wg", "set", self.device, "private-key", key], check=True)
        self._speak(config, former_keys(self.device), owes=True)
        self.poked = time.time()
        for old in FOLDER.glob("stackctl-*.*"):
            if old.stem != key.stem:
                old.unlink()

    def _settling(self, there: dict[str, Known]) -> bool:
        """Whether a peer has yet to hear the new key, for a minute at most."""
        if self.swapped is None or time.time() - self.swapped > 60:
            return False
        return any(key in there and there[key].handshake < self.swapped for key in self.alive)


def link(path: Path, target: str) -> None:
    """Point to another file at once."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.symlink_to(target)
    staged.replace(path)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    os.umask(0o077)
    if sys.argv[1] == "sync":
        sync(sys.argv[2])
    else:
        Follower(sys.argv[2]).run()
