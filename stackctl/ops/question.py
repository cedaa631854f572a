"""What facts ask about single things of a kind, so that a host can be asked about all of them at once."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand


@dataclass(frozen=True)
class Kind:
    """A way to ask about any number of things with one command."""

    script: Callable[[Sequence[Any]], str]
    """Shell that tells of all of them; a thing that is not there, or hangs, may spoil it for the others."""
    parted: Callable[[Sequence[Any], str], Mapping[Any, str]]
    """What the script said of each thing, in the words of a script for that thing alone.

    ValueError where that cannot be said; each question is then asked by itself.
    """


class Question(StringCommand):
    """A fact's command about some things of a kind; asked alone, it is the kind's script for them."""

    def __init__(self, kind: Kind, things: Sequence[Hashable]) -> None:
        super().__init__(kind.script(things))
        self.kind = kind
        self.things = tuple(things)


def lines_by(name: Callable[[str], str], output: str) -> dict[str, str]:
    """The lines of an output together by what each is about."""
    found: dict[str, str] = {}
    for line in output.splitlines(keepends=True):
        key = name(line)
        found[key] = found.get(key, "") + line
    return found
