"""How a host tells the gateways that a replica is to get no more requests: an answer to HAProxy's agent checks."""

from importlib.resources import files

from stackctl.core.artifact import FileTemplate

PORT = 7980
"""Where a host with models answers the gateways' questions, at the address that its replicas have."""

FOLDER = "/run/stackctl-drain"
"""A file for each drained replica, by the name of its container, with the kernel's second at which the drain ends.

In memory, so that a boot clears it, and readable by all: who answers the gateways is no root.
"""

PROGRAM = "/usr/lib/stackctl/drain.pl"
UNIT = "stackctl-drain.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"

ASKED_MS = 500
"""Milliseconds between two questions of a gateway about one replica."""


def agent_check(address: str, service: str) -> str:
    """The part of HAProxy's `server` line that has it ask about a replica; nothing changes while nobody answers."""
    return f'agent-check agent-addr {address} agent-port {PORT} agent-send "{service}\\n"'


def templates(address: str) -> tuple[FileTemplate, ...]:
    """The program that answers at an address of the host, and its unit."""
    program = files("stackctl.agents").joinpath("drain.pl").read_text("utf-8")
    unit = {"program": PROGRAM, "address": address, "port": PORT, "folder": FOLDER}
    return (
        FileTemplate(PROGRAM, "serving/program.j2", {"text": program}),
        FileTemplate(UNIT_FILE, "serving/drain.service.j2", unit),
    )
