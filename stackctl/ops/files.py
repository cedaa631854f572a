"""Files on a host: wholly ours, a block of ours in another's, or keys of ours in a JSON or TOML file."""

import hashlib
import json
import re
import shlex
import tomllib
from collections.abc import Generator, Mapping, Sequence
from typing import Any, cast

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.ops import secret
from stackctl.ops.filestate import LARGEST_SHOWN, Files, Found
from stackctl.ops.step import Check, Guard, Step, WriteFiles
from stackctl.ops.trace import saw
from stackctl.plan.change import FileChange
from stackctl.plan.compare import FileState, compare


@operation()
def write(
    artifacts: Sequence[Artifact], check: Sequence[str] = (), guard: Guard | None = None
) -> Generator[WriteFiles, None, None]:
    """Have these files exactly so.

    They are staged, judged by `check` (an argument vector in which a file's path stands for the staged
    file) and only then renamed into place.
    """
    yield from writing(artifacts, check, guard)


def writing(
    artifacts: Sequence[Artifact], check: Sequence[str] = (), guard: Guard | None = None
) -> Generator[WriteFiles, None, None]:
    """What `write` does, for operations that do more besides."""
    hashes = {artifact.path: hashlib.sha256(secret.reveal(artifact)).hexdigest() for artifact in artifacts}
    asked = [(artifact.path, "-" if artifact.secrets else hashes[artifact.path]) for artifact in artifacts]
    found = host.get_fact(Files, wanted=asked) if asked else {}
    for artifact in artifacts:
        _note(artifact, found.get(artifact.path))
    pairs = [(item, compare(item, hashes[item.path], found.get(item.path))) for item in artifacts]
    different = [(artifact, change) for artifact, change in pairs if change is not None]
    if different:
        yield WriteFiles(
            [artifact for artifact, _ in different],
            [change for _, change in different],
            Check(tuple(check)) if check else None,
            guard,
        )


def _note(artifact: Artifact, found: Found | None) -> None:
    thing = f"file {artifact.path}"
    if found is None:
        saw(thing)
    elif found.kind != "file":
        saw(thing, kind=found.kind)
    else:
        # The hash of a short secret is as good as the secret.
        content = {"changed": found.changed} if artifact.secrets else {"sha256": found.sha256}
        saw(thing, mode=f"{found.mode:o}", owner=f"{found.owner}:{found.group}", **content)


@operation()
def directories(paths: Sequence[str]) -> Generator[Step, None, None]:
    """Have these directories; those that exist keep their owner and mode, and may be links to others."""
    # With `/.` at its end a path is the directory itself, wherever a link on another disk leads to.
    found = host.get_fact(Files, wanted=[(f"{path}/.", "-") for path in paths]) if paths else {}
    for path in paths:
        saw(f"directory {path}", **({"kind": found[f"{path}/."].kind} if f"{path}/." in found else {}))
        if f"{path}/." not in found:
            yield Step(f"mkdir -p -- {shlex.quote(path)}", reason=f"make {path}", action="add")


@operation()
def present(paths: Sequence[str], hint: str) -> Generator[Step, None, None]:
    """Refuse a host without these directories, which somebody else puts there; `hint` says how."""
    found = host.get_fact(Files, wanted=[(f"{path}/.", "-") for path in paths]) if paths else {}
    missing = [path for path in paths if f"{path}/." not in found]
    if missing:
        raise FindingsError(
            *(Finding(path, "is not on the host, or is no directory", hint) for path in missing)
        )
    yield from ()


@operation()
def block(
    path: str, marker: str, lines: Sequence[str], guard: Guard | None = None
) -> Generator[WriteFiles, None, None]:
    """Have these lines between two marked comment lines of a file that others write to as well.

    What stands outside the markers is left as it is; a missing block is appended.
    """
    found = host.get_fact(Files, wanted=[(path, "0")]).get(path)
    before = _content(path, found)
    present = "\n".join(_split(before, marker)[1])
    saw(f"block {marker} in {path}", **({"sha256": _sha256(present)} if present else {}))
    yield from _rewrite(path, found, before, with_block(before, marker, lines), guard=guard)


def with_block(text: str, marker: str, lines: Sequence[str]) -> str:
    """`text` with the marked block holding exactly `lines`."""
    before, _, behind = _split(text, marker)
    return "\n".join([*before, *_bounded(marker, lines), *behind]) + "\n"


def _bounded(marker: str, lines: Sequence[str]) -> list[str]:
    return [f"# stackctl {marker}: begin", *lines, f"# stackctl {marker}: end"]


def _split(text: str, marker: str) -> tuple[list[str], list[str], list[str]]:
    """The rows before, of and behind the block; without one all are before."""
    rows = text.removesuffix("\n").split("\n") if text else []
    place = _place([row.rstrip("\r") for row in rows], *_bounded(marker, ()))
    return rows[: place.start], rows[place], rows[place.stop :]


def _place(rows: Sequence[str], begin: str, end: str) -> slice:
    """Where the block is; a `begin` that lost its `end` by hand must not take in what follows it."""
    start = None
    for number, row in enumerate(rows):
        if row == begin:
            start = number
        elif row == end and start is not None:
            return slice(start, number + 1)
    return slice(len(rows), len(rows))


@operation()
def merge_json(path: str, values: Mapping[str, Any], mode: int = 0o644) -> Generator[WriteFiles, None, None]:
    """Have these keys in a JSON file, leaving all its other keys as they are, at every depth."""
    found = host.get_fact(Files, wanted=[(path, "0")]).get(path)
    before = _content(path, found)
    present = _parsed(path, before)
    for way in _leaves(values):
        value = _at(present, way)
        saw(f"key {'.'.join(way)} in {path}", **({} if value is None else {"value": value}))
    merged = _merged(present, values)
    # Not as Python compares, to which 1 and 1.0 are true.
    if found is not None and _json(merged) == _json(present):
        return
    after = json.dumps(merged, indent=2, sort_keys=True) + "\n"
    yield from _rewrite(path, found, before, after, mode)


def _merged(present: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(present)
    for key, value in values.items():
        before = present.get(key)
        both = isinstance(before, dict) and isinstance(value, Mapping)
        merged[key] = _merged(cast("dict[str, Any]", before), value) if both else value
    return merged


def _leaves(values: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Ways to all that is set, down through objects."""
    ways: list[tuple[str, ...]] = []
    for key, value in sorted(values.items()):
        below = _leaves(value) if isinstance(value, Mapping) else []
        ways += [(key, *way) for way in below] or [(key,)]
    return ways


def _at(value: Any, way: Sequence[str]) -> str | None:
    """What stands there, as JSON; None: nothing does."""
    for key in way:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@operation()
def toml_key(path: str, key: str, value: bool | int | str) -> Generator[WriteFiles, None, None]:
    """Have this key at the top of a TOML file, before its tables; all else stays, comments and order too."""
    found = host.get_fact(Files, wanted=[(path, "0")]).get(path)
    before = _content(path, found)
    present = _toml(path, before)
    saw(f"key {key} in {path}", **({"value": _json(present[key])} if key in present else {}))
    if key in present and _json(present[key]) == _json(value):
        return
    after = with_key(before, key, value)
    try:
        agree = tomllib.loads(after) == {**present, key: value}
    except tomllib.TOMLDecodeError:
        agree = False
    if not agree:
        raise _unreadable(path, f"spells `{key}` in a way that only a person can change")
    yield from _rewrite(path, found, before, after)


def with_key(text: str, key: str, value: bool | int | str) -> str:
    """`text` with the key set where it is, else where a comment shows it, else as the last before the tables."""
    rows = text.removesuffix("\n").split("\n") if text else []
    tables = next((number for number, row in enumerate(rows) if row.lstrip().startswith("[")), len(rows))
    line = f"{key} = {_json(value)}"
    for mark in (r"\s*", r"\s*#\s*"):
        pattern = re.compile(rf"{mark}{re.escape(key)}\s*=")
        for number in range(tables):
            if pattern.match(rows[number]):
                return "\n".join([*rows[:number], line, *rows[number + 1 :]]) + "\n"
    while tables and not rows[tables - 1].strip():
        tables -= 1
    return "\n".join([*rows[:tables], line, *rows[tables:]]) + "\n"


def _toml(path: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, f"is not TOML: {error}") from error


def _parsed(path: str, text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text.strip() or "{}")
    except ValueError as error:
        raise _unreadable(path, f"is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise _unreadable(path, "is JSON but not an object")
    return parsed


def _content(path: str, found: FileState | None) -> str:
    if found is None:
        return ""
    if found.content is None:
        raise _unreadable(path, f"is not a text file of at most {LARGEST_SHOWN // 1024} KiB")
    return found.content


def _unreadable(path: str, what: str) -> FindingsError:
    return FindingsError(Finding(path, what, f"mend or move away {path} on the host; nothing was changed"))


def _rewrite(
    path: str, found: FileState | None, before: str, after: str, mode: int = 0o644, guard: Guard | None = None
) -> Generator[WriteFiles, None, None]:
    if before == after:
        return
    artifact = Artifact(path, after, mode=mode)
    if found is not None:
        artifact = Artifact(path, after, found.owner, found.group, found.mode)
    change: FileChange | None = compare(artifact, _sha256(after), found)
    if change is not None:
        yield WriteFiles([artifact], [change], guard=guard)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
