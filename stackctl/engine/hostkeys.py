"""Trust in hosts' keys: pinned, or known, or refused until the operator says yes."""

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError


@dataclass(frozen=True, order=True)
class NewKey:
    """A host's key seen for the first time."""

    host: str
    """Name in the inventory."""
    name: str
    """Name as known_hosts has it: `10.0.0.11` or `[10.0.0.11]:2222`."""
    kind: str
    key: str
    """Base64, as in known_hosts."""
    file: str
    """The known_hosts file that it would be written to."""

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class UnknownKeyError(Exception):
    """The host showed a key that nobody has vouched for."""

    def __init__(self, new: NewKey) -> None:
        super().__init__(f"unknown key of {new.host}")
        self.new = new


class Refuse(paramiko.MissingHostKeyPolicy):
    """Raise for a host whose key is not known, so that the operator can be asked."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Called by paramiko before anything is sent to the host."""
        files = self.connection.known_hosts
        raise UnknownKeyError(
            NewKey(
                self.connection.host, hostname, key.get_name(), key.get_base64(), files[0] if files else ""
            )
        )


def load(client: paramiko.SSHClient, connection: Connection, name: str) -> None:
    """Give the client the keys it may trust for `name`: the pinned ones alone, or the files'."""
    known = client.get_host_keys()
    for pin in connection.host_keys:
        kind, key = pin.split()[:2]
        known.add(name, kind, _parsed(kind, key))
    if not connection.host_keys:
        entries = [entry for file in connection.known_hosts for entry in _entries(Path(file))]
        revoked = {entry.key for marker, entry in entries if marker == "@revoked"}
        for marker, entry in entries:
            if not marker and entry.key not in revoked:
                for hostname in entry.hostnames:
                    known.add(hostname, entry.key.get_name(), entry.key)


def _entries(file: Path) -> Iterator[tuple[str, Any]]:
    """Marker and entry of each line that holds a key; one odd line must not cost the others.

    paramiko's own reader gives up the whole file at `@cert-authority`, at `@revoked` and at a damaged key.
    """
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        marker, _, rest = line.strip().partition(" ") if line.startswith("@") else ("", "", line.strip())
        if not rest or rest.startswith("#"):
            continue
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(rest.strip())
        except (paramiko.SSHException, paramiko.hostkeys.InvalidHostKey, ValueError):
            continue
        if entry is not None and entry.key is not None:
            yield marker, entry


def _parsed(kind: str, key: str) -> paramiko.PKey:
    entry = paramiko.hostkeys.HostKeyEntry.from_line(f"pinned {kind} {key}")
    if entry is None or entry.key is None:
        raise ValueError(f"`{kind} {key[:16]}…` is not a public key")
    return entry.key


def trust(keys: Iterable[NewKey]) -> None:
    """Append the keys to their known_hosts files, which are made where missing."""
    for file, line in dict.fromkeys((key.file, f"{key.name} {key.kind} {key.key}\n") for key in keys):
        try:
            _append(Path(file), line)
        except OSError as error:
            what = f"cannot be written: {error.strerror}"
            raise FindingsError(Finding(file, what, "check the path and its mode")) from error


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    with os.fdopen(handle, "a+b") as file:
        if file.tell():  # an editor may have left the last line without its end
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(line.encode())
