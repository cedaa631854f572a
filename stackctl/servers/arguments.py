"""Arguments of programs: words made of settings, and what is known of each program's own lists."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic_core import PydanticCustomError

from stackctl.servers.base import Server
from stackctl.servers.in_clear import arguments_without_secrets
from stackctl.servers.unknown import Unknown


def words(flags: Mapping[str, str], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments that settings make, in the order of `flags`: unset and false ones make none."""
    found: list[str] = []
    for name, flag in flags.items():
        value = settings.get(name)
        if value is None or value is False:
            continue
        found.append(flag)
        if isinstance(value, Mapping):
            found.append(json.dumps(value, separators=(",", ":")))
        elif isinstance(value, tuple):
            found += map(str, value)
        elif value is not True:
            found.append(str(value))
    return tuple(found)


def spelt(argument: str) -> str:
    """The flag of an argument as programs list it: without its value, underscores as hyphens."""
    flag = re.split("[=.]", argument, maxsplit=1)[0]
    return flag.replace("_", "-") if flag.startswith("--") else flag


def no_setting(deciders: Mapping[str, str]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """The judge of free arguments, of which none may be a flag of `deciders`: who decides it is told."""

    def judged(arguments: tuple[str, ...]) -> tuple[str, ...]:
        for index, argument in enumerate(arguments):
            decider = deciders.get(spelt(argument))
            if decider is not None:
                raise PydanticCustomError("own_flag", "has a setting", {"at": (index,), "setting": decider})
        arguments_without_secrets(arguments)
        return arguments

    return judged


def deciders(flags: Mapping[str, str]) -> dict[str, str]:
    """Who decides each flag, of settings and their flags."""
    return {flag: f"`{name}`" for name, flag in flags.items()}


@dataclass(frozen=True)
class Recorded:
    """What a program says itself that it takes."""

    program: str
    version: str
    """Of the program; older images are taken to be no different."""
    source: str
    """Where this was read, and when."""
    flags: frozenset[str]
    choices: Mapping[str, frozenset[str]]
    """What it takes for a setting, by the setting's name."""

    def covers(self, image: str) -> bool:
        """Whether an image's version is known to be no newer."""
        found = re.search(r"[0-9]+(?:[.][0-9]+)+", image.rpartition(":")[2])
        recorded = _numbers(self.version)
        return found is not None and _numbers(found[0])[: len(recorded)] <= recorded

    def unknown_flags(self, server: Server, arguments: tuple[str, ...]) -> Iterator[Unknown]:
        """Flags among the `extra_args` of a server that the program does not have."""
        for index, argument in enumerate(arguments):
            flag = spelt(argument)
            if flag.startswith("--") and flag not in self.flags:
                what = f"`{flag}` is no argument of {self.program} {self.version}"
                yield Unknown(("extra_args", index), what, flag, self.flags, self.covers(server.image))

    def unknown_choices(self, server: Server) -> Iterator[Unknown]:
        """Settings whose value the program does not have."""
        for name, choices in self.choices.items():
            value = getattr(server, name, None)
            if value is not None and value not in choices:
                what = f"`{value}` is no `{name}` of {self.program} {self.version}"
                yield Unknown((name,), what, value, choices, self.covers(server.image))


@cache
def recorded(name: str) -> Recorded:
    """What the program of a kind of server takes, as its file here has it."""
    found = json.loads(files("stackctl.servers").joinpath("recorded", f"{name}.json").read_text("utf-8"))
    known = {key: found.pop(key) for key in ("program", "version", "source", "flags")}
    choices = {key: frozenset(values) for key, values in found.items()}
    return Recorded(**{**known, "flags": frozenset(known["flags"])}, choices=choices)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
