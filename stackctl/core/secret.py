"""References to secrets: what the pure side of stackctl may know of one."""

import re
from dataclasses import dataclass
from typing import Self

NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
"""The form of a secret's own name."""
FILE = "secrets.age"
"""The file in `inventory/` that holds the secrets of `age:` references."""
SHORTEST_HASHED = 20
"""Characters that a secret has at least of which a host is to know the hash alone."""
WAYS = "`env:NAME`, `file:PATH`, `age:NAME` or `command:PROGRAM ARG...`"
"""How a reference may be written, for hints."""

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_TARGETS = {"env": _VARIABLE, "age": NAME, "file": r"\S.*", "command": r"\S.*"}

PATTERN = rf"^(env:{_VARIABLE}$|age:{NAME}$|(file|command):\S)"
"""The same, for editors."""


@dataclass(frozen=True, order=True)
class SecretRef:
    """Where a secret's value is found: `env:NAME`, `file:PATH`, `age:NAME` or `command:PROGRAM ARG...`.

    The engine alone turns it into a value, when it writes to a host.
    """

    scheme: str
    target: str
    beside: str | None = None
    """The encrypted file that an `age:` reference names a secret of; it comes from the project, not from what
    was written."""

    @classmethod
    def parse(cls, text: str, beside: str | None = None) -> Self:
        """Read a reference; ValueError when `text` is not one, as a secret written in clear is not."""
        scheme, _, target = text.partition(":")
        form = _TARGETS.get(scheme)
        if form is None or re.fullmatch(form, target) is None:
            raise ValueError("not a reference to a secret")
        return cls(scheme, target, beside if scheme == "age" else None)

    @property
    def written(self) -> str:
        """As a person writes it."""
        return f"{self.scheme}:{self.target}"

    @property
    def placeholder(self) -> str:
        """What stands for the value in rendered text, plans, diffs and golden files."""
        return f"<<secret {self.written}>>"

    @property
    def hash_placeholder(self) -> str:
        """What stands for the SHA-256 of the value, in 64 hexadecimal digits, where the value itself must not go."""
        return f"<<sha256 {self.written}>>"


def guessable(value: str) -> str | None:
    """Why the hash of a value would give it away; None when it does not."""
    if len(value) < SHORTEST_HASHED:
        return f"it is shorter than {SHORTEST_HASHED} characters, and could be guessed from its hash"
    return None


def is_pem(value: str) -> bool:
    """Whether it is a certificate or a key of several lines, which stands in files of its own."""
    return value.startswith("-----BEGIN ")


def unfit(value: str) -> str | None:
    """Why a value cannot stand in files of ours; None when it can."""
    # Formats quote in different ways, and none of ours needs these characters in a secret.
    if any(character in value for character in "'\"\\\r\n"):
        return "it holds a quote, a backslash or a line break"
    return None
