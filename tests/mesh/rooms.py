"""Hosts as network namespaces with WireGuard as a program: what is rendered, run for real."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from stackctl.agents import wireguard_peers
from tests.engine.local import LocalSession

PROGRAMS = ("wg", "wg-quick", "wireguard-go", "ip", "nsenter", "unshare")


_SYSTEMCTL = """cd @FOLDER@ || exit
sync() { python3 -I @AGENT@ sync wg0; }
case "$*" in
  is-active*follow*) [ -e following ] && echo active || { echo inactive; exit 3; } ;;
  is-active*) [ -e up ] && echo active || { echo inactive; exit 3; } ;;
  is-enabled*) [ -e boot ] && echo enabled || { echo disabled; exit 1; } ;;
  enable*) touch boot ;;
  restart*wg-quick*) echo restart >>done; [ ! -e up ] || wg-quick down wg0; rm -f up; wg-quick up wg0 && touch up && sync ;;
  disable*wg-quick*) rm -f boot up; wg-quick down wg0 ;;
  reload*) echo reload >>done; sync ;;
  show*NeedDaemonReload*) echo no ;;
esac
"""
"""Of units it knows the interface's own, and the one that follows keys."""
_SYSTEMD_RUN = """case "$*" in *--on-active*) exit ;; esac
while [ "$1" != -- ]; do shift; done
shift
touch @FOLDER@/following
(trap "" HUP; "$@" & echo $! >@FOLDER@/follower; wait; rm -f @FOLDER@/following) >@FOLDER@/follow.log 2>&1 </dev/null &
"""
"""Begins at once; a guard's timer never goes off."""


def missing() -> list[str]:
    """What this needs and this machine lacks."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    lacking += [] if os.geteuid() == 0 else ["root"]
    return lacking + ([] if Path("/dev/net/tun").exists() else ["/dev/net/tun"])


class Room:
    """A host of its own: network, `/etc/wireguard` and `/run/wireguard`; systemd is played by scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("etc", "state", "run", "bin"):
            (folder / part).mkdir(parents=True)
        self.agent = folder / "agent.py"
        self.agent.write_text(Path(wireguard_peers.__file__).read_text())
        self._program(
            "systemctl", _SYSTEMCTL.replace("@FOLDER@", str(folder)).replace("@AGENT@", str(self.agent))
        )
        self._program("systemd-run", _SYSTEMD_RUN.replace("@FOLDER@", str(folder)))
        script = (
            f"mkdir -p /etc/wireguard /var/lib/stackctl/mesh /run/wireguard && mount --bind {folder}/etc /etc/wireguard && "
            f"mount --bind {folder}/state /var/lib/stackctl/mesh && mount --bind {folder}/run /run/wireguard && "
            "ip link set lo up && echo ready && exec sleep infinity"
        )
        self.holder = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                script,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def _program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def words(self, *command: str) -> list[str]:
        """The command as it runs there."""
        path = f"PATH={self.folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "env", path, *command]

    def run(self, *command: str, text: str = "") -> str:
        """What it prints; it has to succeed."""
        done = subprocess.run(self.words(*command), input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def sync(self, device: str = "wg0") -> None:
        """Take over the file, as the unit's reload does."""
        self.run("python3", "-I", str(self.agent), "sync", device)

    def session(self) -> LocalSession:
        """A shell there, as the engine uses one."""
        return _RoomSession(self)

    def peers(self, device: str = "wg0") -> dict[str, list[str]]:
        """Networks by key."""
        rows = self.run("wg", "show", device, "allowed-ips").splitlines()
        pairs = (row.split("\t") for row in rows)
        return {key: [] if nets == "(none)" else nets.split() for key, nets in pairs}

    def end(self) -> None:
        """All that runs there ends with it."""
        self.holder.kill()
        self.holder.wait()
        if self.holder.stdout is not None:
            self.holder.stdout.close()


class _RoomSession(LocalSession):
    """A shell in a room."""

    def __init__(self, room: Room) -> None:
        super().__init__(room.folder / "bin", room.folder / "stackctl")
        self.room = room

    def open(self) -> None:
        """Start the shell."""
        words = self.room.words("sh", "-s")
        pipe = subprocess.PIPE
        self.shell = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        self._send(self.head.encode())


@contextlib.contextmanager
def rooms(folder: Path, addresses: Sequence[str]) -> Iterator[list[Room]]:
    """Rooms on one network, with these addresses there."""
    made: list[Room] = []
    try:
        switch = Room(folder / "switch")
        made.append(switch)
        switch.run("ip", "link", "add", "br0", "type", "bridge")
        switch.run("ip", "link", "set", "br0", "up")
        for number, address in enumerate(addresses):
            room = Room(folder / f"room{number}")
            made.append(room)
            switch.run("ip", "link", "add", f"p{number}", "type", "veth", "peer", "name", f"q{number}")
            switch.run("ip", "link", "set", f"p{number}", "master", "br0", "up")
            subprocess.run(switch_to(switch, room, f"q{number}"), check=True)
            room.run("ip", "link", "set", f"q{number}", "name", "eth0", "up")
            room.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        yield made[1:]
    finally:
        for room in made:
            room.end()


def switch_to(switch: Room, room: Room, device: str) -> list[str]:
    """Move an interface from one room to the other; both are known by their processes outside."""
    return ["nsenter", "-t", str(switch.pid), "-n", "ip", "link", "set", device, "netns", str(room.pid)]
