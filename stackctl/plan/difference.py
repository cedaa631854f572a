"""One thing of a host's specification that differs between two inventories, and what it does to the host."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from stackctl.plan.change import Action
from stackctl.plan.delta import Delta, delta, record


@dataclass(frozen=True)
class Difference:
    """Something that joins a host, changes on it or goes."""

    action: Action
    kind: str
    """What it is: `container`, `model`, `packages`."""
    name: str = ""
    """Which one, where it has a name."""
    items: tuple[str, ...] = ()
    """What of it: names that join or go, or `before → after`."""
    note: str = ""
    """What that does to the host and to those who use it."""


_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "daemon": "engine settings",
        "hostname": "host name",
        "logins": "registry logins",
        "names": "names in /etc/hosts",
        "os": "operating system",
        "sysctl": "kernel settings",
        "timesyncd": "clock kept by stackctl",
    }
)
"""Names of fields as a person knows them; all others read well as they are."""
_NOTES: Mapping[tuple[str, Action], str] = MappingProxyType(
    {
        ("packages", "remove"): "stay installed",
        ("sysctl", "remove"): "keep their values until the host boots",
        ("daemon", "remove"): "stay in daemon.json",
        ("directories", "remove"): "stay on the host",
        ("volumes", "remove"): "stay on the host",
        ("images", "add"): "pulled first, where the host does not have them",
        ("weights", "add"): "have to be on the host before",
        ("weights", "remove"): "no longer needed",
        ("os", "change"): "an apply refuses a host that runs another",
        ("ports", "add"): "open",
        ("ports", "remove"): "close",
    }
)


def settings(before: Any, after: Any, leave_out: Collection[str] = ()) -> Iterator[Difference]:
    """What differs of two specifications, field by field; of one that is new, its lists and mappings alone."""
    old, new = record(before), record(after)
    for field in new:
        if field not in leave_out and (before is not None or _is_many(new[field])):
            yield from listed(field, old.get(field), new[field])


def listed(field: str, before: Any, after: Any) -> Iterator[Difference]:
    """One difference each for what joins, changes and goes of a field."""
    found: Delta = delta(before, after)
    groups: tuple[tuple[Action, tuple[str, ...]], ...] = (
        ("add", found.added),
        ("change", found.changed),
        ("remove", found.removed),
    )
    for action, items in groups:
        if items:
            kind = _WORDS.get(field, field.replace("_", " "))
            yield Difference(action, kind, items=items, note=_NOTES.get((field, action), ""))


def duration(seconds: int) -> str:
    """`90 s`, `30 min`."""
    return f"{seconds} s" if seconds < 120 else f"{-(-seconds // 60)} min"


def _is_many(value: Any) -> bool:
    return isinstance(value, tuple | Mapping)
