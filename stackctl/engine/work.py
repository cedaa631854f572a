"""A host's course of action, as a generator: it yields what it needs of its host and is sent what came back."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stackctl.engine.batch import Answer, Command


@dataclass(frozen=True)
class Reconnect:
    """Come back to the host on a fresh connection, and only then leave the old one.

    Answered with nothing; NotBackError where the host did not let us in, and the old connection is kept.
    """

    within: float
    """Seconds to keep trying."""
    settle: float = 0
    """Seconds to wait before the first try."""


class NotBackError(Exception):
    """There was no fresh connection in time; the message is why the last try failed."""


class DeadlineError(Exception):
    """The host has had its time."""


Request = Sequence[Command] | Reconnect

T = TypeVar("T")
Work = Generator[Request, Sequence[Answer], T]
"""Returns its result; what goes wrong on the way is thrown in where it waits."""
