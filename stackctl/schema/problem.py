"""A problem by the name of its setting; loading knows the file and line."""

from dataclasses import dataclass
from typing import Literal

from stackctl.schema.source import Key, dotted


@dataclass(frozen=True)
class Problem:
    """What a check of a fleet has to say about one of its settings."""

    key: Key
    """Way to the setting in the fleet, such as `("hosts", "gpu1", "address")`."""
    what: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    @classmethod
    def at(cls, *key: str | int, what: str, hint: str | None = None) -> "Problem":
        """A problem whose words start with the setting's own name."""
        return cls(key, f"{dotted(key)} {what}", hint)
