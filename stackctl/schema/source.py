"""YAML with the place of every value, read by the rules of YAML 1.2 and of an inventory.

PyYAML follows YAML 1.1, in which `no`, `on`, 0644 and 12:30 are not what they look like, drops places and
keeps the last of two equal keys. Only its parser is used here, never its constructors.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from stackctl.core.finding import Finding, FindingsError

Key = tuple[str | int, ...]
Scalar = str | int | float | bool | None

_DEEPEST = 40
_MOST = 1_000_000
"""Values in one file, aliases spelt out: a thousand hosts have some twenty thousand."""
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "true": True, "false": False}
_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it: ten times quicker."""


@dataclass(frozen=True)
class Written:
    """A value with the place where it was written; that may be a profile or an anchor far away."""

    value: "Scalar | dict[str, Written] | list[Written]"
    file: str
    line: int
    key: Key

    @property
    def where(self) -> str:
        """`inventory/lab.yaml:14`."""
        return f"{self.file}:{self.line}"

    @property
    def plain(self) -> Any:
        """The bare value."""
        if isinstance(self.value, dict):
            return {key: item.plain for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain for item in self.value]
        return self.value

    @property
    def entries(self) -> "dict[str, Written]":
        """The entries of a mapping; anything else has none."""
        return self.value if isinstance(self.value, dict) else {}

    def get(self, step: str | int) -> "Written | None":
        """The entry of a mapping or list."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and -1 < step < len(self.value):
            return self.value[step]
        return None

    def nearest(self, key: Key) -> "Written":
        """The deepest value on the way to `key` that was written."""
        found = self
        for step in key:
            inner = found.get(step)
            if inner is None:
                break
            found = inner
        return found


def read(text: str, file: str) -> tuple[Written, list[Finding]]:
    """The one document of a file, and what is wrong with it; FindingsError where it cannot be read to its end."""
    findings: list[Finding] = []
    try:
        tree = _Reader(file, yaml.parse(text, Loader=_Parser), findings).document()
    except yaml.MarkedYAMLError as error:
        raise FindingsError(*findings, _syntax(file, text, error)) from error
    except yaml.YAMLError as error:
        what = "has a character that YAML does not allow"
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        line = 1 if found is None else text.count("\n", 0, found.start()) + 1
        where = f"{file}:{line}"
        raise FindingsError(Finding(where, what, "remove control characters and byte-order marks")) from error
    return tree, findings


def _syntax(file: str, text: str, error: yaml.MarkedYAMLError) -> Finding:
    """What stands there is not repeated: it may be a secret."""
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else int(mark.line) + 1
    where = f"{file}:{line}"
    row = (text.splitlines() + [""] * line)[line - 1]
    problem = error.problem or "what stands here does not fit"
    if "\t" in row[: len(row) - len(row.lstrip())] or "'\\t'" in problem:
        return Finding(where, "a tab indents this line", "indent with spaces")
    if not problem.startswith(("did not find expected", "could not find expected")):
        problem = re.sub(r"\s*['\"].*", "", problem)
    begun = error.context_mark
    if begun is not None and int(begun.line) + 1 != line:
        problem += f", in what begins in line {int(begun.line) + 1}"
    hint = "check indentation, quotes, brackets and colons here and in the line above"
    return Finding(where, f"is not YAML: {problem}", hint)


class _Reader:
    """Builds the tree from the parser's events, which no depth of nesting can exhaust."""

    def __init__(self, file: str, events: Iterator[Any], findings: list[Finding]) -> None:
        self.file = file
        self.events = events
        self.findings = findings
        self.anchors: dict[str, tuple[Written, int]] = {}
        self.count = 0

    def document(self) -> Written:
        """The first document, which has to be the only one; an empty file is an empty mapping."""
        tree = Written({}, self.file, 1, ())
        seen = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                seen += 1
                if seen > 1:
                    self._refuse(event, "a second document starts here", "one file holds one environment")
                tree = self._value(next(self.events), (), None)
        if tree.value is None:
            return Written({}, self.file, 1, ())
        if not isinstance(tree.value, dict):
            raise FindingsError(
                *self.findings,
                Finding(
                    tree.where, "is not a mapping of settings", "write `name: value` lines at the top level"
                ),
            )
        return tree

    def _value(self, event: Any, key: Key, line: int | None) -> Written:
        at = _line(event) if line is None else line
        if len(key) > _DEEPEST:
            self._refuse(event, "is nested too deeply", f"an inventory needs less than {_DEEPEST} levels")
        before = self.count
        self._counted(event, 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, key, at)
        if event.tag is not None and event.tag != "!":
            self.findings.append(
                Finding(
                    f"{self.file}:{at}",
                    "a tag (`!`) stands here, which inventories do not have",
                    "quote the value",
                )
            )
        if isinstance(event, yaml.MappingStartEvent):
            tree = Written(self._mapping(key), self.file, at, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            tree = Written(self._sequence(key), self.file, at, key)
        else:
            tree = Written(_scalar(event), self.file, at, key)
        if event.anchor is not None:
            self.anchors[event.anchor] = (tree, self.count - before)
        return tree

    def _mapping(self, key: Key) -> dict[str, Written]:
        entries: dict[str, Written] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(
                    event, "a setting's name has to be text", "quote it if it starts with `*`, `{` or `[`"
                )
            name, line = event.value, _line(event)
            value = self._value(next(self.events), (*key, name), line)
            if name in entries:
                self.findings.append(
                    Finding(
                        f"{self.file}:{line}",
                        f"{dotted((*key, name))} stands here again, first in line {entries[name].line}",
                        "keep one of them",
                    )
                )
            entries.setdefault(name, value)
        return entries

    def _sequence(self, key: Key) -> list[Written]:
        items: list[Written] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, (*key, len(items)), None))
        return items

    def _alias(self, event: Any, key: Key, line: int) -> Written:
        found = self.anchors.get(event.anchor)
        if found is None:
            where = f"{self.file}:{line}"
            hint = "define it with `&` further up, or quote a text that starts with `*`"
            raise FindingsError(
                *self.findings, Finding(where, "`*` refers to an anchor that is not there", hint)
            )
        tree, count = found
        self._counted(event, count)
        return Written(
            tree.value, tree.file, line if not isinstance(tree.value, dict | list) else tree.line, key
        )

    def _counted(self, event: Any, count: int) -> None:
        self.count += count
        if self.count > _MOST:
            self._refuse(event, f"the file holds more than {_MOST} values", "aliases of aliases multiply")

    def _refuse(self, event: Any, what: str, hint: str) -> NoReturn:
        where = f"{self.file}:{_line(event)}"
        raise FindingsError(*self.findings, Finding(where, what, hint))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(event: Any) -> Scalar:
    """YAML 1.2's core schema: quoted is text; so are `no`, `on`, 0644 and 12:30."""
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if (
        _FLOAT.fullmatch(text)
        and any(sign in text for sign in ".eE")
        and math.isfinite(number := float(text))
    ):
        return number
    return text


def dotted(key: Key) -> str:
    """A setting's full name as findings show it, in backticks."""
    steps = (f'"{step}"' if "." in str(step) else str(step) for step in key)
    return f"`{visible('.'.join(steps))}`"


def visible(text: str) -> str:
    """The text on one line, whatever it holds."""
    return text if text.isprintable() else json.dumps(text)[1:-1]
