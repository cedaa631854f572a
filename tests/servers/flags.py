"""What every kind of server whose program's own lists are known has to show."""

from collections.abc import Mapping
from typing import Any

from stackctl.servers.base import Server


def made(kind: type[Server], given: Mapping[str, Any], **settings: Any) -> tuple[str, ...]:
    """The command that a server of a kind is started with."""
    return kind.model_validate({**given, **settings}).launch("m").command


def flags(command: tuple[str, ...]) -> set[str]:
    """The flags of a command, without their values."""
    return {word.partition("=")[0] for word in command if word.startswith("--")}


def silent(kind: type[Server], given: Mapping[str, Any], everything: Mapping[str, Any]) -> list[str]:
    """Settings that change nothing of the command."""
    plain = made(kind, given)
    return [name for name, value in everything.items() if made(kind, given, **{name: value}) == plain]


def unasked(kind: type[Server], everything: Mapping[str, Any]) -> set[str]:
    """Settings of the kind alone that `everything` leaves out."""
    return set(kind.model_fields) - set(Server.model_fields) - set(everything) - {"server", "extra_args"}
