"""The files of the locks as `stackctl lock` writes them: sorted, so that a review shows what moved and nothing else."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stackctl.schema.image import Locked, LockedImage
from stackctl.schema.snapshot import Snapshot

_HEAD = "# Written by `stackctl lock`: run it again instead of editing, and review what it changes.\n"
_BARE = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9._/@:+=-]*")
_LIKE_A_VALUE = re.compile(r"[-+.0-9][-+.0-9eE]*|null|true|false|yes|no|on|off", re.IGNORECASE)


def images_text(digests: Mapping[str, Locked]) -> str:
    """`images.lock`: a line for an image of which the digest alone is known."""
    return _HEAD + "".join(f"{line}\n" for name in sorted(digests) for line in _image(name, digests[name]))


def weights_text(snapshots: Mapping[str, Snapshot]) -> str:
    """`weights.lock`: a line for every file of every repository."""
    return _HEAD + "".join(
        f"{line}\n" for name in sorted(snapshots) for line in _snapshot(name, snapshots[name])
    )


def _image(name: str, entry: Locked) -> Iterator[str]:
    if not isinstance(entry, LockedImage):
        yield f"{_text(name)}: {_text(entry)}"
        return
    yield f"{_text(name)}:"
    yield from _mapping(entry.model_dump(mode="json", exclude_defaults=True), "  ")


def _snapshot(name: str, entry: Snapshot) -> Iterator[str]:
    yield f"{_text(name)}:"
    yield f"  commit: {_text(entry.commit)}"
    yield "  files:"
    for path, file in sorted(entry.files.items()):
        yield f"    {_text(path)}: {{size: {file.size}, sha256: {_text(file.sha256)}}}"
    if entry.config:
        yield "  config:"
        yield from _mapping(entry.config, "    ")


def _mapping(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in sorted(values.items()):
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_text(name)}:"
            yield from _mapping(value, f"{indent}  ")
        else:
            yield f"{indent}{_text(name)}: {_text(value) if isinstance(value, str) else _value(value)}"


def _value(value: Any) -> str:
    """On one line, in the part of YAML that is JSON."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{_quoted(name)}: {_value(inner)}" for name, inner in sorted(value.items()))
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return json.dumps(value)


def _text(text: str) -> str:
    """Without quotes where YAML takes it for text, a name or a digest."""
    if _BARE.fullmatch(text) and not text.endswith(":") and not _LIKE_A_VALUE.fullmatch(text):
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    return f'"{"".join(letter if _plain(letter) else _escaped(letter) for letter in text)}"'


def _plain(letter: str) -> bool:
    return letter.isprintable() and letter not in '"\\'


def _escaped(letter: str) -> str:
    code = ord(letter)
    if letter in '"\\':
        return f"\\{letter}"
    if 0xD800 <= code < 0xE000:  # half a letter, which YAML does not take
        return "\ufffd"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
