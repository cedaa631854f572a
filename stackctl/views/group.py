"""Hosts of which the same is to be said, said once."""

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

_NAMED = 4


class Hosted(Protocol):
    """Something about one host."""

    @property
    def host(self) -> str:
        """The host's name."""


T = TypeVar("T", bound=Hosted)


def grouped(items: Sequence[T], key: Callable[[T], Hashable]) -> list[tuple[str, T]]:
    """The first item of each group with equal keys, under the names of all of its hosts."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return [(names([item.host for item in group]), group[0]) for group in groups.values()]


def names(hosts: Sequence[str]) -> str:
    """`gpu1, gpu2`; of many the first ones and how many more."""
    if len(hosts) <= _NAMED:
        return ", ".join(hosts)
    return f"{', '.join(hosts[: _NAMED - 1])} and {len(hosts) - _NAMED + 1} more"


def alike(host: str, text: str) -> str:
    """`text` with the host's own name taken out, so that hosts that differ in their names alone are alike."""
    return re.sub(rf"\b{re.escape(host)}\b", "\0", text)
