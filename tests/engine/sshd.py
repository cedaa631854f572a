"""A real sshd on loopback, with keys of its own."""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stackctl.core.connection import Connection


@dataclass(frozen=True)
class Sshd:
    """Where it listens and how to log in; root's own login, as the tests run as root."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def known_hosts_line(self) -> str:
        kind, key = (self.folder / "host.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def connection(self, **changes: object) -> Connection:
        """A connection that trusts this server, changed as asked."""
        known = self.folder / "known_hosts"
        if not known.exists():
            known.write_text(self.known_hosts_line)
        base = Connection(
            "gpu1",
            "127.0.0.1",
            self.port,
            getpass.getuser(),
            identity=str(self.folder / "user"),
            known_hosts=(str(known),),
            timeout=5,
        )
        return replace(base, **changes)  # type: ignore[arg-type]


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Sshd]:
    """Run sshd until the block ends, with more settings of sshd_config where given."""
    folder.mkdir(exist_ok=True)
    for name in ("host", "user"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    options = {
        "Port": str(port),
        "ListenAddress": "127.0.0.1",
        "HostKey": str(folder / "host"),
        "PidFile": "none",
        "AuthorizedKeysFile": str(folder / "authorized_keys"),
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "AllowTcpForwarding": "yes",
        **settings,
    }
    listed = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *listed], stderr=nowhere)
        try:
            _wait(port)
            yield Sshd(folder, port, process)
        finally:
            process.terminate()
            process.wait(timeout=10)


def _wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("sshd does not listen")
