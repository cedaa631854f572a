"""How reasons are put: one line, whatever their number."""

from collections.abc import Sequence

SHOWN = 3
"""Things a reason names; the commands below it show all."""


def some(things: Sequence[str]) -> str:
    """`a`, `a, b`, `a, b, c and 4 more`."""
    more = len(things) - SHOWN
    return ", ".join(things[:SHOWN]) + (f" and {more} more" if more > 0 else "")
