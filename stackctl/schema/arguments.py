"""Words of the catalogue that a server's program does not take, by the program's own lists."""

from collections.abc import Iterator

from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.schema.wording import similar
from stackctl.servers.unknown import Unknown

_FEW = 80
"""Names that a hint can list where none is near."""


def check(fleet: Fleet) -> Iterator[Problem]:
    """An error where the image is no newer than the lists, else a warning: programs learn new words every fortnight."""
    for name, server in fleet.models.items():
        for unknown in server.unknown():
            at = ("models", name, *unknown.at)
            yield Problem(at, unknown.what, _hint(unknown), "error" if unknown.certain else "warning")


def _hint(unknown: Unknown) -> str | None:
    hint = similar(unknown.word, unknown.names)
    near = hint is not None and hint.startswith("did")
    if near or len(unknown.names) <= _FEW:
        return hint
    return "read what the image's program says to `--help`"
