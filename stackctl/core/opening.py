"""A port that a capability listens on, named once: the firewall follows, and says why."""

from dataclasses import dataclass
from typing import Literal

Audience = Literal["gateways", "fleet", "site", "clients", "management", "world"]
"""Who is meant to reach it: hosts with the role `gateway`; all hosts; the hosts of its own site at their `address`,
beneath the mesh; whoever may ask the gateway; operators and
monitoring; everybody, uplinks included."""


@dataclass(frozen=True, order=True)
class Opening:
    """One port of one host, and who may reach it."""

    port: int
    protocol: Literal["tcp", "udp"]
    audience: Audience
    reason: str
    """What for, in a few words: `replica of chat`."""
