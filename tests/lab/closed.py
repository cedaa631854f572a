"""A host of the lab that is closed by the firewall, with Docker and a container that nobody has declared."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stackctl.core.finding import FailureError
from tests.lab.site import PROFILE, Site

LAB = "t-firewall"
HOSTS = {"edge": "10.89.0.11", "gpu1": "10.89.0.12"}
LAN, WAN1, WAN2, MESH = "10.89.0.12", "198.18.1.12", "198.18.2.12", "10.77.0.12"
OPEN = {"management": ["10.89.0.248/29"], "outside": ["wan1", "wan2"]}
"""The operator of a lab is at 10.89.0.250."""
STRAY = 9090
"""A port that a container publishes and nobody has declared."""
TEMPLATE = "templates/firewall/firewall.nft.j2"
STOCK = Path(__file__).parents[2] / TEMPLATE


def inventory(firewall: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    """A gateway that is only dialled from, and the host that is closed."""
    gpu1: dict[str, Any] = {"profile": "virtual", "address": LAN, "roles": ["models"], **more.pop("gpu1", {})}
    if firewall is not None:
        gpu1["firewall"] = dict(firewall)
    edge = {"profile": "virtual", "address": HOSTS["edge"], "roles": ["gateway"], **more.pop("edge", {})}
    return {
        "environment": LAB,
        "lab": {},
        "profiles": {"virtual": PROFILE},
        "hosts": {"edge": edge, "gpu1": gpu1},
        "placements": {"chat": [{"host": "gpu1", "devices": ["cpu"]}]},
        **more,
    }


def apply(site: Site) -> "subprocess.CompletedProcess[str]":
    return site.stackctl("apply", LAB, "--yes", "--limit", "gpu1")


def wait_until(site: Site, condition: str, seconds: int) -> None:
    """Wait for a shell command on the host to succeed."""
    began = time.monotonic()
    while site.on("gpu1", f"({condition}) >/dev/null 2>&1 && echo yes || echo no") != "yes\n":
        assert time.monotonic() - began < seconds, condition
        time.sleep(0.5)


def wait_for_boot(site: Site) -> None:
    """Wait until a host that restarts has come up as far as it will."""
    for _ in range(120):
        time.sleep(0.5)
        with suppress(FailureError, TypeError):
            site.on("gpu1", "systemctl is-active -q multi-user.target docker")
            return
    raise TimeoutError


def changes(site: Site) -> dict[str, str]:
    """Reasons by operation of what an apply would do on the host."""
    planned = json.loads(site.stackctl("plan", LAB, "--limit", "gpu1", "--json").stdout)
    return {change["operation"]: change["reason"] for change in planned["hosts"][0]["changes"]}


def table(site: Site) -> str:
    """Ours; empty where there is none."""
    return site.on("gpu1", "nft -s list table inet stackctl 2>/dev/null || true")


def others(site: Site) -> str:
    """The tables of Docker, to the byte."""
    list_others = "nft list tables | grep -v 'inet stackctl$'"
    return site.on("gpu1", f"{list_others} | while read -r t; do nft -s list $t; done")


def container(site: Site, name: str = "stray") -> str:
    """Address of a container."""
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return site.on("gpu1", f"docker inspect -f '{address}' {name}").strip()


def reached_from_container(site: Site, address: str, port: int) -> bool:
    dial = f"import socket; socket.create_connection(('{address}', {port}), 1)"
    said = site.on("gpu1", f'docker exec stray python3 -c "{dial}" 2>/dev/null && echo yes || echo no')
    return said == "yes\n"


@contextmanager
def locking_out(site: Site) -> Iterator[None]:
    """A template of the project's own that lets nobody in."""
    own = site.folder / TEMPLATE
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(STOCK.read_text().replace("jump declared", "counter"))
    try:
        yield
    finally:
        own.unlink()
