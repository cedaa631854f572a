"""What the other hosts of a run have told of themselves, for operations that have to know."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Told = Mapping[str, Mapping[str, str]]
"""Values by topic, by host; a host that takes part and has nothing to tell yet is there with nothing."""

LEFT_OUT = "left-out"
"""Topic: the host could not be planned, so that the apply changes nothing on it."""

_told: ContextVar[Told | None] = ContextVar("told", default=None)


@dataclass(frozen=True)
class Introduction:
    """How a host tells what others have to know of it; both scripts print lines `TOPIC VALUE`, of nothing secret."""

    tell: str
    """Shell script that tells what is there; it changes nothing and comes before every plan."""
    make: str
    """Shell script that first makes what is not there; it runs on all hosts before an apply changes any of them."""


def told(host: str, topic: str) -> str | None:
    """What a host of the run has told; None where it has not."""
    return (_told.get() or {}).get(host, {}).get(topic)


def takes_part(host: str) -> bool:
    """Whether a host is part of the run: what it has not told in a plan it will have told in the apply."""
    found = (_told.get() or {}).get(host)
    return found is not None and LEFT_OUT not in found


@contextmanager
def telling(values: Told) -> Iterator[None]:
    """Have `told` answer from these values in the block."""
    token = _told.set(values)
    try:
        yield
    finally:
        _told.reset(token)
