"""Driver branches: what each ships, how long it is looked after, and which versions to keep away from."""

from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.nvidia.families import Flavour
from stackctl.nvidia.tables import table
from stackctl.nvidia.version import Version, parsed


@dataclass(frozen=True)
class Bad:
    """Versions that are known to fail, and where."""

    first: Version
    last: Version
    when: str
    """`mixed-mig`: only on hosts where some GPUs have MIG on and some have not."""
    reason: str
    """What happens then, with the version for its subject."""
    advice: int
    """Branch that is free of it."""


@dataclass(frozen=True)
class Own:
    """The driver that a distribution itself has."""

    branch: int
    modules: tuple[Flavour, ...]
    """Flavours that can be installed from it."""
    cuda: str
    """The only CUDA toolkit it has, `12.4`."""
    why: str | None
    """Why one of them cannot."""


def modules(branch: int) -> tuple[Flavour, ...]:
    """Flavours that a branch ships; for one that the table does not have, by its neighbours."""
    known = table("branches")
    entry = known["branches"].get(branch)
    if entry is not None:
        return tuple(entry["modules"])
    if branch < known["first_open"]:
        return ("proprietary",)
    return ("open", "proprietary") if branch <= known["last_proprietary"] else ("open",)


def kind(branch: int) -> str | None:
    """`long-term`, `production`, `new-feature`; None where the table does not say."""
    found: str | None = table("branches")["branches"].get(branch, {}).get("kind")
    return found


def ends(branch: int) -> str | None:
    """Last month of a branch, `2028-06`; None where the table does not say."""
    found: str | None = table("branches")["branches"].get(branch, {}).get("ends")
    return found


def ended(branch: int) -> bool:
    """Whether a branch had ended when the table was written, by which alone it is judged."""
    last = ends(branch)
    return last is not None and last < table("branches")["as_of"]


def advised(flavour: Flavour | None = None, first: int = 0, last: int = 999) -> tuple[int, ...]:
    """Branches to take between two, the best first: those with a known end to come, the oldest of them first."""
    fitting = [
        branch
        for branch in sorted(table("branches")["branches"])
        if first <= branch <= last and not ended(branch) and (flavour is None or flavour in modules(branch))
    ]
    unknown = (branch for branch in reversed(fitting) if not ends(branch))
    return (*(branch for branch in fitting if ends(branch)), *unknown)


def known_bad(version: Version) -> Iterator[Bad]:
    """What is known against an exact version; of a whole branch nothing is, its newest is taken."""
    for entry in table("branches")["known_bad"]:
        first, last = parsed(entry["first"]), parsed(entry["last"])
        if len(version) > 1 and first <= version[: len(first)] and version[: len(last)] <= last:
            yield Bad(first, last, entry["when"], entry["reason"], entry["advice"])


def distribution(system: str) -> Own | None:
    """The driver of `debian-13` itself; None where the system has several branches to choose from."""
    entry = table("branches")["distributions"].get(system)
    return (
        None
        if entry is None
        else Own(entry["branch"], tuple(entry["modules"]), entry["cuda"], entry.get("why"))
    )
