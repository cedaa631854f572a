"""What a person wrote that a program does not take."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Unknown:
    """A word that the program, as far as its own lists are known here, does not take."""

    at: tuple[str | int, ...]
    """Way to it in the entry of the catalogue."""
    what: str
    """The word in backticks, and what it is not."""
    word: str
    names: Collection[str]
    """All that the program takes in that place."""
    certain: bool
    """Whether the image is no newer than the lists."""
