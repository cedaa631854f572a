"""What is left of an inventory without its wrong entries, so that the right ones are checked all the same."""

from collections.abc import Iterable
from dataclasses import replace

from stackctl.schema.source import Key, Written

_WHOLE = ("hosts", "models", "profiles", "placements", "digests", "snapshots")
"""Sections whose entries go as a whole: what is wrong in one may be just what a check looks at."""


def without(tree: Written, wrong: Iterable[Key]) -> Written:
    """The tree without what is wrong, and without the placements of the hosts and models that go with it."""
    keys = {key[:2] if key[:1] and key[0] in _WHOLE else key for key in wrong}
    gone = {key[1] for key in keys if len(key) == 2 and key[0] in ("hosts", "models")}
    for key in sorted(keys):
        if key[:1] == ("secrets",) and len(key) == 2:
            tree = _put(tree, key, "env:STAND_IN")  # nobody who uses it is to blame
        else:
            tree = _put(tree, key, None)
    return _without_placements(tree, gone)


def _put(tree: Written, key: Key, text: str | None) -> Written:
    """The tree with a text at `key`, or with nothing there."""
    step, inner = (key[0], tree.get(key[0])) if key else ("", None)
    if inner is None or not isinstance(tree.value, dict) or not isinstance(step, str):
        return tree
    entries = dict(tree.value)
    if len(key) > 1:
        entries[step] = _put(inner, key[1:], text)
    elif text is None:
        del entries[step]
    else:
        entries[step] = replace(inner, value=text)
    return replace(tree, value=entries)


def _without_placements(tree: Written, gone: set[str | int]) -> Written:
    placements = tree.get("placements")
    if placements is None or not isinstance(placements.value, dict) or not isinstance(tree.value, dict):
        return tree
    kept = {
        model: _elsewhere(listed, gone) for model, listed in placements.value.items() if model not in gone
    }
    kept = {
        model: listed for model, listed in kept.items() if listed.value or not placements.value[model].value
    }
    return replace(tree, value={**tree.value, "placements": replace(placements, value=kept)})


def _elsewhere(listed: Written, gone: set[str | int]) -> Written:
    if not isinstance(listed.value, list):
        return listed
    return replace(listed, value=[item for item in listed.value if not _on(item, gone)])


def _on(placement: Written, gone: set[str | int]) -> bool:
    host = placement.get("host")
    return host is not None and host.value in gone
