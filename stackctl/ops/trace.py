"""What evaluating an operation tells besides its commands: what it saw, and which changes it hangs on."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Trace:
    """One evaluation's side notes."""

    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    """State by thing: `file /etc/hosts` has a `mode`, `package curl` a `version`. Never a secret nor its hash."""
    after: dict[str, None] = field(default_factory=dict)
    """Names of earlier operations that were asked for a change and have one, in order."""


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Collect the notes of what is evaluated in the block."""
    trace = Trace()
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def saw(thing: str, **state: str) -> None:
    """Note what a thing is like on the host; an operation says this of all that it keeps as it should be.

    A thing that is not there is noted without any state. What is noted after an apply goes into the host's
    receipt, and what is noted later is compared with it: that is how drift is found.
    """
    trace = _current.get()
    if trace is not None:
        trace.seen[thing] = state


def hangs_on(operation: str) -> None:
    """Note that the operation being evaluated acts because an earlier one changes something."""
    trace = _current.get()
    if trace is not None:
        trace.after[operation] = None
