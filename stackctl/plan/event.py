"""What a run tells while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "connected",
    "planned",
    "started",
    "done",
    "failed",
    "reconnecting",
    "rebooting",
    "verifying",
    "finished",
]


@dataclass(frozen=True)
class Event:
    """Something happened on a host; for progress, and for whoever keeps a record."""

    host: str
    kind: EventKind
    text: str = ""


Listen = Callable[[Event], None]
