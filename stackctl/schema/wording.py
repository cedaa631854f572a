"""Pydantic's errors in the words of people who write inventories."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from stackctl.core.finding import Finding
from stackctl.schema.fleet import Environment
from stackctl.schema.outline import Outline
from stackctl.schema.source import Key, Written, dotted, visible
from stackctl.servers.base import KINDS
from stackctl.servers.in_clear import holds_secret, smells_of_secret

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "string_type": "text",
    "dict_type": "a mapping of `name: value` lines",
    "mapping_type": "a mapping of `name: value` lines",
    "model_type": "a mapping of `name: value` lines",
    "model_attributes_type": "a mapping of `name: value` lines",
    "tuple_type": "a list",
    "list_type": "a list",
    "ip_v4_address": "an IPv4 address, four numbers such as 10.0.0.11",
    "value_error": "an IPv4 address, four numbers such as 10.0.0.11",  # ipaddress raises it, nothing else does
    "ip_v4_network": "an IPv4 network such as 10.0.0.0/24",
}
_SENTENCES = {
    "secret_in_clear": (
        "{key} takes a reference to a secret, not the secret",
        "write {instead}; replace a secret that was ever saved here in clear",
    ),
    "own_flag": ("{key} cannot be {shown}", "{setting} decides that"),
    "twice": ("{key} lists {shown} again", "keep one of them"),
    "form": ("{key} cannot be {shown}", "write {wording}"),
    "too_short": ("{key} is empty", "write at least {min_length}"),
    "greater_than_equal": ("{key} cannot be {shown}", "write at least {ge}"),
    "greater_than": ("{key} cannot be {shown}", "write more than {gt}"),
    "less_than_equal": ("{key} cannot be {shown}", "write at most {le}"),
    "less_than": ("{key} cannot be {shown}", "write less than {lt}"),
}
_KINDS = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "text",
    dict: "a mapping",
    list: "a list",
}
_PYDANTICS = frozenset(get_args(ErrorType))
"""Kinds of error that pydantic words; ours word themselves, the way out behind a semicolon or as `hint`."""
_LONGEST_SHOWN = 60


def similar(name: str, names: Iterable[str], otherwise: str | None = None) -> str | None:
    """A hint that offers the nearest of `names`, or lists them when none is near."""
    listed = sorted(set(names))
    near = _nearest(name, listed)
    if near is not None:
        return f"did you mean `{near}`?"
    if not listed:
        return otherwise
    return f"there {'is' if len(listed) == 1 else 'are'} {', '.join(f'`{item}`' for item in listed)}"


def _nearest(name: str, listed: Sequence[str]) -> str | None:
    """The one that is spelt much alike, or the only one that has `name` for one of its words."""
    near = difflib.get_close_matches(name, listed, n=1, cutoff=0.6)
    if near:
        return near[0]
    holding = [item for item in listed if name in re.split("[_-]", item)]
    return holding[0] if len(holding) == 1 else None


def follows(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether an error is only what another one leads to.

    A list with a wrong entry is too short as well, and a setting whose name is misspelt is missing.
    """
    *parent, name = error["loc"] or ("",)
    if error["type"] == "too_short":
        place = error["loc"]
        return any(other["loc"][: len(place)] == place != other["loc"] for other in errors)
    return error["type"] == "missing" and any(
        other["type"] == "extra_forbidden"
        and list(other["loc"][:-1]) == parent
        and _nearest(str(other["loc"][-1]), [str(name)]) is not None
        for other in errors
    )


def finding(error: ErrorDetails, tree: Written, outline: Outline) -> Finding:
    """One of pydantic's errors as a finding at the place where its cause was written."""
    location = (*error["loc"], *error.get("ctx", {}).get("at", ()))
    _, written = located(location, tree)
    if error["type"] == "missing":
        return _missing(written, str(location[-1]), outline)
    if error["type"] == "extra_forbidden":
        return _unknown(written, tree, outline)
    if error["type"].startswith("union_tag"):
        return _untagged(error, written, outline)
    what, hint = _judgement(error, written, of_key=location[-1:] == ("[key]",))
    return Finding(written.where, what, hint)


def located(location: Sequence[str | int], tree: Written) -> tuple[Key, Written]:
    """The value that one of pydantic's errors is about, or the nearest above it, and the way there."""
    key: Key = ()
    found = tree
    for index, step in enumerate(location):
        inner = found.get(step)
        if inner is not None and (step not in KINDS or index == len(location) - 1):
            found, key = inner, (*key, step)
    return key, found


def _missing(parent: Written, name: str, outline: Outline) -> Finding:
    key = (*parent.key, name)
    manual = outline.manual(key)
    return Finding(
        parent.where, f"{dotted(key)} is missing", f"add `{name}: ...`" + (f": {manual}" if manual else "")
    )


def _unknown(written: Written, tree: Written, outline: Outline) -> Finding:
    *parent, name = written.key
    what = f"{dotted(written.key)} is not a setting"
    if name == "<<":
        return Finding(
            written.where,
            what,
            "merge keys are not part of YAML 1.2; write a profile and name it with `profile`",
        )
    server = tree.nearest((*parent, "server"))
    kind = str(server.value) if server.key == (*parent, "server") else None
    # An environment is judged together with the catalogue and the lock, whose settings are not its own.
    names = outline.names(tuple(parent), kind) if parent else tuple(Environment.model_fields)
    if name in names:  # a setting of another kind than the one that the settings beside it choose
        others = " and ".join(f"`{other}`" for other in tree.nearest(tuple(parent)).entries if other != name)
        return Finding(written.where, f"{dotted(written.key)} does not go with {others}", "keep one kind")
    return Finding(written.where, what, similar(str(name), names))


def _untagged(error: ErrorDetails, written: Written, outline: Outline) -> Finding:
    """A mapping of several kinds whose deciding setting is missing or of no known kind."""
    name = error["ctx"]["discriminator"].strip("'")
    chosen = written.get(name)
    if chosen is None:
        return _missing(written, name, outline)
    kinds = re.findall(r"'([^']*)'", error["ctx"]["expected_tags"])
    what = f"{dotted(chosen.key)} cannot be {_shown(chosen)}"
    return Finding(chosen.where, what, similar(str(chosen.value), kinds))


def _judgement(error: ErrorDetails, written: Written, *, of_key: bool) -> tuple[str, str | None]:
    """What is wrong with a value or, where the error is `of_key`, with a name; and the way out."""
    kind = error["type"]
    key, shown = dotted(written.key), _shown(written)
    context: dict[str, Any] = error.get("ctx", {})
    if of_key:
        return f"{key} has a name that does not fit", f"write {context.get('wording', 'text')}"
    if kind in _SENTENCES:
        what, hint = _SENTENCES[kind]
        words = {**context, "key": key, "shown": shown}
        return what.format(**words), hint.format(**words)
    if kind not in _PYDANTICS:
        what, _, hint = error["msg"].partition("; ")
        return f"{key} {what}", context.get("hint") or hint or None
    if written.value is None:
        return f"{key} has no value", "give it one, or take the line out"
    if kind == "literal_error":
        choice = re.findall(r"'([^']*)'", context["expected"])
        return f"{key} cannot be {shown}", similar(str(written.value), choice)
    return _wrong_type(kind, written, shown)


def _wrong_type(kind: str, written: Written, shown: str) -> tuple[str, str | None]:
    key, value = dotted(written.key), written.value
    if kind in ("int_type", "float_type") and isinstance(value, str) and value.isdecimal():
        zeros = value.startswith("0") and len(value) > 1
        return (
            f"{key} is text, {shown}",
            f"write the number without {'zeros in front' if zeros else 'quotes'}",
        )
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"{key} is {_kind(written)}, {shown}", "write it in quotes to make it text"
    wanted = _WANTED.get(kind)
    return f"{key} cannot be {shown}", wanted and f"write {wanted}"


def _kind(written: Written) -> str:
    return _KINDS.get(type(written.value), "nothing")


def _shown(written: Written) -> str:
    """The value as it was written, short; never one that may be a secret."""
    if any(isinstance(step, str) and smells_of_secret(step) for step in written.key):
        return "the value it has"
    if isinstance(written.value, dict | list):
        return _kind(written)
    text = written.value if isinstance(written.value, str) else json.dumps(written.value)
    if holds_secret(text):
        return "the value it has"
    line = visible(text)
    return f"`{line[:_LONGEST_SHOWN]}…`" if len(line) > _LONGEST_SHOWN else f"`{line}`"
