"""References to secrets: what the pure side of stackctl may know of one."""

import re
from dataclasses import dataclass
from typing import Self

_FORM = re.compile(r"(?P<scheme>env|file|command):(?P<target>\S.*)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, order=True)
class SecretRef:
    """Where a secret's value is found: `env:NAME`, `file:PATH` or `command:PROGRAM ARG...`.

    The engine alone turns it into a value, when it writes to a host.
    """

    scheme: str
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference; ValueError when `text` is not one, as a secret written in clear is not."""
        match = _FORM.fullmatch(text)
        if match is None or (match["scheme"] == "env" and not _VARIABLE.fullmatch(match["target"])):
            raise ValueError("not a reference to a secret")
        return cls(match["scheme"], match["target"])

    @property
    def placeholder(self) -> str:
        """What stands for the value in rendered text, plans, diffs and golden files."""
        return f"<<secret {self.scheme}:{self.target}>>"
