"""What an agent of two uplinks says, as the agent itself puts it."""

import json
from typing import Any

NOW = 1_790_000_000.0


def uplink(name: str, phase: str = "up", *, since: float = 7200, **more: Any) -> dict[str, Any]:
    """One uplink as the agent tells it; `since`: seconds ago."""
    number = {"fibre": 1, "lte": 2}[name]
    return {
        "name": name,
        "number": number,
        "interface": f"wan{number}",
        "phase": phase,
        "since": NOW - since,
        "active": name == "fibre",
        "carrier": True,
        "loss": 0.0,
        "rtt": 0.0123 * number,
        "usable_at": None,
        "ipv4": {"address": f"198.18.{number}.11", "gateway": f"198.18.{number}.1"},
        **more,
    }


def answer(*uplinks: dict[str, Any], **more: Any) -> str:
    """All it says."""
    told = {
        "version": 1,
        "running": True,
        "at": NOW,
        "mode": "failover",
        "active": ["fibre"],
        "forced": None,
        "forced_until": None,
        "paused": False,
        "frozen": False,
        "switches": 0,
        "last_switch": None,
        "uplinks": list(uplinks or (uplink("fibre"), uplink("lte"))),
        **more,
    }
    return json.dumps(told)
