"""Looks at a WireGuard interface's peers: `mesh_metrics.py DEVICE`, run every few seconds.

It writes metrics for the node exporter's textfile collector where that is, and dials a peer that has several
endpoints at the next one when it is spoken to and does not answer.
"""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SILENT = 2
"""Looks in a row at which a peer was spoken to and had not answered; WireGuard answers what it gets within 10 s."""
CONFIG = "/etc/wireguard/{}.conf"
STATE = Path("/run/stackctl-mesh/{}.json")
METRICS = Path("/var/lib/prometheus/node-exporter/stackctl_mesh.prom")
FAMILIES = (
    ("handshake_age_seconds", "gauge", "Seconds since a peer last proved who it is; NaN: it never did."),
    ("received_bytes_total", "counter", "Bytes received from a peer."),
    ("sent_bytes_total", "counter", "Bytes sent to a peer."),
    (
        "keepalive",
        "gauge",
        "Whether this host sends a peer something even when idle: such a peer is never silent.",
    ),
)


@dataclass
class Known:
    """A peer as the interface has it."""

    name: str
    endpoint: str
    handshake: int
    received: int
    sent: int
    keepalive: bool


def names(text: str) -> dict[str, tuple[str, list[str]]]:
    """Name and endpoints by key, as the interface's file has them."""
    found = {}
    for section in re.split(r"^\[Peer\]$", text, flags=re.MULTILINE)[1:]:
        name = re.search(r"^# ([a-z0-9-]+), key", section, flags=re.MULTILINE)
        key = re.search(r"^PublicKey = (\S+)$", section, flags=re.MULTILINE)
        endpoints = re.findall(r"^(?:Endpoint =|# also at) (\S+)$", section, flags=re.MULTILINE)
        if name and key:
            found[key[1]] = (name[1], endpoints)
    return found


def peers(dump: str, named: dict[str, tuple[str, list[str]]]) -> dict[str, Known]:
    """The interface's peers by key; one whose key is on its way out goes by its key's beginning."""
    found = {}
    for row in dump.splitlines()[1:]:
        key, _, endpoint, _, handshake, received, sent, keepalive = row.split("\t")
        name = named.get(key, (key[:8], []))[0]
        found[key] = Known(name, endpoint, int(handshake), int(received), int(sent), keepalive != "off")
    return found


def metrics(found: dict[str, Known], device: str, now: float) -> str:
    """In the exposition format."""
    values = {
        "handshake_age_seconds": lambda peer: (
            f"{max(0, now - peer.handshake):.0f}" if peer.handshake else "NaN"
        ),
        "received_bytes_total": lambda peer: str(peer.received),
        "sent_bytes_total": lambda peer: str(peer.sent),
        "keepalive": lambda peer: str(int(peer.keepalive)),
    }
    rows = []
    for family, kind, told in FAMILIES:
        rows += [f"# HELP stackctl_mesh_{family} {told}", f"# TYPE stackctl_mesh_{family} {kind}"]
        for peer in sorted(found.values(), key=lambda item: item.name):
            labels = f'device="{device}",peer="{peer.name}"'
            rows.append(f"stackctl_mesh_{family}{{{labels}}} {values[family](peer)}")
    return "\n".join(rows) + "\n"


def silence(peer: Known, received: int, sent: int, looks: int = 0) -> int:
    """Looks in a row, this one too, at which a peer was spoken to since the look before and not heard."""
    if peer.received > received:
        return 0
    return looks + 1 if peer.sent > sent else looks


def elsewhere(peer: Known, endpoints: list[str]) -> str | None:
    """Where a silent peer is dialled next; None: there is no other place."""
    if not endpoints or endpoints == [peer.endpoint]:
        return None
    after = endpoints.index(peer.endpoint) + 1 if peer.endpoint in endpoints else 0
    return endpoints[after % len(endpoints)]


def main(device: str) -> None:
    """One look."""
    named = names(Path(CONFIG.format(device)).read_text())
    shown = subprocess.run(["wg", "show", device, "dump"], stdout=subprocess.PIPE, text=True, check=True)
    found, now = peers(shown.stdout, named), time.time()
    state = Path(str(STATE).format(device))
    before = json.loads(state.read_text()) if state.exists() else {}
    seen = {}
    for key, peer in found.items():
        endpoints = named.get(key, ("", []))[1]
        looks = silence(peer, *before.get(key, [peer.received, peer.sent, 0]))
        place = elsewhere(peer, endpoints) if looks >= SILENT else None
        if place is not None:
            subprocess.run(["wg", "set", device, "peer", key, "endpoint", place], check=True)
        seen[key] = [peer.received, peer.sent, looks % SILENT]
    write(state, json.dumps(seen))
    if METRICS.parent.is_dir():
        write(METRICS, metrics(found, device, now))


def write(path: Path, text: str) -> None:
    """At once, so that nobody reads a half."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(text)
    staged.chmod(0o644)
    staged.replace(path)


if __name__ == "__main__":
    main(sys.argv[1])
