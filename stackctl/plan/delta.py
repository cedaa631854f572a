"""How two values differ, in words; whatever a specification is made of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from typing import Any

from pydantic import BaseModel

from stackctl.core.secret import SecretRef


@dataclass(frozen=True)
class Delta:
    """What joins, goes and changes between two values, each as a person would write it."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """`60 → 1`, after the name of what changes where it has one."""


def delta(before: Any, after: Any) -> Delta:
    """The entries of mappings and lists compared one by one, everything else as a whole; None is nothing."""
    if before == after:
        return Delta()
    if _is_many(before) or _is_many(after):
        return _entries(_named(before), _named(after), before, after)
    if before is None:
        return Delta(added=(shown(after),))
    if after is None:
        return Delta(removed=(shown(before),))
    return Delta(changed=(_changed(before, after),))


def arguments(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """Where two command lines differ, each time with the flag that a value belongs to."""
    found = []
    for kind, start, end, new_start, new_end in SequenceMatcher(None, before, after, False).get_opcodes():
        if kind != "equal":
            old, new = before[start:end], after[new_start:new_end]
            flag = before[start - 1 : start] if start else ()
            if flag and flag[0].startswith("-") and not _starts_with_flag(old, new):
                old, new = [*flag, *old], [*flag, *new]
            found.append(_arrow(" ".join(old), " ".join(new)))
    return tuple(found)


def record(value: Any) -> dict[str, Any]:
    """The fields of a dataclass or a pydantic model by name; nothing else has any."""
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, SecretRef):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return {}


def shown(value: Any) -> str:
    """A value as an inventory would have it, on one line."""
    if isinstance(value, SecretRef):
        return f"{value.scheme}:{value.target}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if record(value):
        return ", ".join(f"{name} {shown(item)}" for name, item in record(value).items() if item is not None)
    if isinstance(value, Mapping):
        return (
            ", ".join(f"{name} {shown(item)}" for name, item in value.items() if item is not None) or "none"
        )
    if _is_list(value):
        return ", ".join(shown(item) for item in value) or "none"
    return "none" if value is None else str(value)


def _entries(old: Mapping[str, Any], new: Mapping[str, Any], before: Any, after: Any) -> Delta:
    found = Delta(
        added=tuple(_entry(name, new[name]) for name in new if name not in old),
        removed=tuple(_entry(name, old[name]) for name in old if name not in new),
        changed=tuple(
            f"{name} {_changed(old[name], new[name])}"
            for name in new
            if name in old and old[name] != new[name]
        ),
    )
    # The same entries in another order, or one of them twice.
    reordered = found == Delta() and _is_list(before) and _is_list(after)
    return Delta(changed=(_arrow(shown(before), shown(after)),)) if reordered else found


def _named(value: Any) -> dict[str, Any]:
    """Entries by name: a list's records by their first field, which is what tells them apart; its texts by themselves."""
    if isinstance(value, Mapping):
        return dict(value)
    return dict(_pairs(value)) if _is_list(value) else {}


def _pairs(values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for value in values:
        parts = record(value)
        first = next(iter(parts), None)
        if first is None:
            yield shown(value), None
        else:
            yield shown(parts.pop(first)), parts


def _entry(name: str, value: Any) -> str:
    return name if value is None else f"{name} {shown(value)}"


def _changed(before: Any, after: Any) -> str:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return ", ".join(f"{name} {_changed(before.get(name), after.get(name))}" for name in names)
    if record(before) and type(before) is type(after):
        return _changed(record(before), record(after))
    return _arrow(shown(before), shown(after))


def _arrow(before: str, after: str) -> str:
    return f"{before or 'nothing'} → {after or 'nothing'}"


def _starts_with_flag(old: Sequence[str], new: Sequence[str]) -> bool:
    return any(words[0].startswith("-") for words in (old, new) if words)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_many(value: Any) -> bool:
    return isinstance(value, Mapping) or _is_list(value)
