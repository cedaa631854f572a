"""What a run tells while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """Something happened on a host; for progress, and for whoever keeps a record."""

    host: str
    kind: Literal["connected", "planned", "started", "done", "failed", "verifying", "finished"]
    text: str = ""


Listen = Callable[[Event], None]
