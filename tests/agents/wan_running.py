"""The agent at work in the rig, as a service manager and an operator see it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.agents.wan_rig import GATEWAY, GATEWAY6, HOME, TARGETS, Rig, until

AGENT = Path(__file__).parents[2] / "stackctl/agents/wan.py"
NAMES = {1: "fibre", 2: "lte"}

BALANCED = {
    "interval": 0.5,
    "timeout": 1.0,
    "down_after": 4,
    "up_after": 10,
    "window": 30.0,
    "loss_down": 0.2,
    "loss_up": 0.05,
    "rtt_down": 0.5,
    "rtt_up": 0.25,
    "hold": 60.0,
}
FAST = BALANCED | {"interval": 0.2, "timeout": 0.4, "down_after": 3, "window": 10.0, "hold": 30.0}


def probing(**changed: float) -> dict[str, float]:
    """The fast profile with a hold that a test can wait for."""
    return FAST | {"hold": 2.0} | changed


def configuration(numbers: Mapping[str, float], **changed: Any) -> dict[str, Any]:
    """A host's file for the agent."""
    uplinks = [
        {
            "name": NAMES[number],
            "number": number,
            "interface": f"wan{number}",
            "gateway": GATEWAY[number],
            "address": HOME[number],
            "probing": dict(numbers),
        }
        for number in (1, 2)
    ]
    targets = [{"method": "icmp", "address": address} for address in TARGETS]
    return {"uplinks": uplinks, "targets": targets, "quorum": 2} | changed


@dataclass
class Running:
    """An agent at work on the rig's host."""

    rig: Rig
    config: Path
    folder: Path
    process: "subprocess.Popen[str]"

    def status(self) -> dict[str, Any]:
        return json.loads((self.folder / "wan.json").read_text())  # type: ignore[no-any-return]

    @property
    def active(self) -> list[str]:
        return list(self.status()["active"])

    @property
    def phases(self) -> dict[str, str]:
        return {each["name"]: each["phase"] for each in self.status()["uplinks"]}

    def log(self) -> str:
        return self.rig.log(self.process)

    def say(self, *words: str) -> str:
        """What an operator's command says."""
        environment = f"RUNTIME_DIRECTORY={self.folder}"
        return self.rig.run("host", "env", environment, sys.executable, "-I", AGENT, *words, self.config)

    def until(self, active: str, seconds: float = 60.0) -> None:
        """Wait for the uplinks in use: their names with `+` between."""
        until(lambda: "+".join(self.active) == active, seconds)


def agent(made: Rig, written: Mapping[str, Any], **environment: str) -> Running:
    """The agent with that file, once it has made its first choice; one started before may have left its state."""
    config, folder = made.folder / "config.json", made.folder / "run"
    config.write_text(json.dumps(written))
    argv = (sys.executable, "-I", AGENT, "run", config)
    process = made.start("host", *argv, RUNTIME_DIRECTORY=str(folder), **environment)
    running = Running(made, config, folder, process)
    try:
        until(lambda: "uplink" in running.log() and bool(running.active))
    except TimeoutError as error:
        raise TimeoutError(running.log()) from error
    return running


def started(made: Rig, numbers: Mapping[str, float] | None = None, **changed: Any) -> Running:
    """An agent that knows both uplinks to be well and uses the first."""
    running = agent(made, configuration(numbers or probing(), **changed))
    until(lambda: set(running.phases.values()) == {"up"})
    return running


def with_ipv6() -> list[dict[str, Any]]:
    """Both uplinks, with their routers for IPv6."""
    uplinks = configuration(probing())["uplinks"]
    return [uplink | {"gateway6": GATEWAY6[number]} for number, uplink in enumerate(uplinks, 1)]
