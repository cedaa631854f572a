"""Keys of clients: who somebody is, what they may use, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stackctl.core.secret import SecretRef

RATE = r"[1-9][0-9]{0,8}/[smhd]"
"""The form of a rate: `60/m` is 60 in a minute."""
PERIODS: Mapping[str, int] = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400})
"""Seconds of the times that rates are for."""
_LONGEST_RETRY = 60


@dataclass(frozen=True)
class Rate:
    """So many within a time."""

    most: int
    unit: str
    """One of `PERIODS`."""

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read a text of the form `RATE`."""
        most, _, unit = text.partition("/")
        return cls(int(most), unit)

    @property
    def written(self) -> str:
        """As a person writes it."""
        return f"{self.most}/{self.unit}"

    @property
    def retry_after(self) -> int:
        """Seconds after which there is room again, or it is worth another try."""
        return min(PERIODS[self.unit], _LONGEST_RETRY)


@dataclass(frozen=True)
class ClientKey:
    """One key, without its value."""

    name: str
    source: SecretRef | str
    """Where it is found, or its SHA-256."""
    models: tuple[str, ...] | None
    """Those it may use; None: all."""
    rate: Rate | None
    """None: as often as it likes."""

    @property
    def hash(self) -> str:
        """The key's SHA-256 in hexadecimal, or what stands for it."""
        return self.source if isinstance(self.source, str) else self.source.hash_placeholder

    def may_use(self, model: str) -> bool:
        """Whether it may use a model."""
        return self.models is None or model in self.models
