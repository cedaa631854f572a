"""WireGuard, in user space, from the rig's host to its core."""

import sys

from tests.agents.wan_rig import ECHO, Rig, until

FAR, NEAR = "10.99.0.1", "10.99.0.2"
"""Where an echo listens inside the tunnel, and the host's own end."""


def tunnel(made: Rig, endpoint: str = "8.8.8.8:51820") -> None:
    """Bring it up, its underlay marked so that it follows the uplink in use."""
    _end(made, "core", "wgc", FAR)
    _end(made, "host", "wgh", NEAR)
    public = {role: _key(made, role) for role in ("core", "host")}
    inside = {role: f"{address}/32" for role, address in (("core", FAR), ("host", NEAR))}
    key = {role: made.folder / f"{role}.key" for role in public}
    there = (
        "private-key",
        key["core"],
        "listen-port",
        "51820",
        "peer",
        public["host"],
        "allowed-ips",
        inside["host"],
    )
    made.run("core", "wg", "set", "wgc", *there)
    here = (
        "private-key",
        key["host"],
        "fwmark",
        "0x100",
        "peer",
        public["core"],
        "allowed-ips",
        inside["core"],
    )
    made.run("host", "wg", "set", "wgh", *here, "endpoint", endpoint, "persistent-keepalive", "5")
    made.start("core", sys.executable, ECHO, FAR)


def _end(made: Rig, role: str, name: str, address: str) -> None:
    made.start(role, "wireguard-go", "-f", name, LOG_LEVEL="error")
    until((made.folder / "wireguard" / f"{name}.sock").exists)
    made.run(role, "ip", "address", "add", f"{address}/24", "dev", name)
    made.run(role, "ip", "link", "set", name, "up", "mtu", "1412")


def _key(made: Rig, role: str) -> str:
    path = made.folder / f"{role}.key"
    path.touch(0o600)
    path.write_text(made.run(role, "wg", "genkey"))
    return made.run(role, "wg", "pubkey", text=path.read_text()).strip()
