"""What a lock and its upstream have to say to each other: what is new, what moved, what nobody uses."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from stackctl.schema.image import Locked, LockedImage, digest
from stackctl.schema.snapshot import Snapshot

T = TypeVar("T")
Kind = Literal["images", "weights"]


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What upstream has at the moment, of all that could be asked for."""

    entries: Mapping[str, T]
    unasked: tuple[str, ...] = ()
    """Names that there is no answer to."""


@dataclass(frozen=True)
class LockChange:
    """One entry of a lock that is to be another."""

    kind: Kind
    action: Literal["add", "change", "remove"]
    name: str
    before: str | None
    """Digest or commit; None: it was not locked."""
    after: str | None
    """Digest or commit; None: no model uses it."""
    note: str = ""
    """What else there is to know."""


@dataclass(frozen=True)
class LockPart(Generic[T]):
    """One of the two locks, and what becomes of it."""

    kind: Kind
    entries: Mapping[str, T]
    """As they are to be."""
    changes: tuple[LockChange, ...]
    same: int
    """Entries that are as upstream has them."""
    kept: tuple[str, ...] = ()
    """Entries that stay as they are since there was no answer."""
    missing: tuple[str, ...] = ()
    """What is still not locked."""


@dataclass(frozen=True)
class LockReview:
    """Both locks, or the one that was asked for."""

    parts: tuple[LockPart[Locked] | LockPart[Snapshot], ...] = field(default=())

    @property
    def changes(self) -> tuple[LockChange, ...]:
        """All that is to change."""
        return tuple(change for part in self.parts for change in part.changes)


def images(old: Mapping[str, Locked], found: Answers[Locked], unused: Collection[str]) -> LockPart[Locked]:
    """The lock of images."""
    changes = (*_images(old, found.entries), *_removed("images", old, unused, digest))
    return _part("images", old, found, unused, changes)


def weights(
    old: Mapping[str, Snapshot], found: Answers[Snapshot], unused: Collection[str]
) -> LockPart[Snapshot]:
    """The lock of weights."""
    changes = (*_weights(old, found.entries), *_removed("weights", old, unused, lambda entry: entry.commit))
    return _part("weights", old, found, unused, changes)


def _part(
    kind: Kind,
    old: Mapping[str, T],
    found: Answers[T],
    unused: Collection[str],
    changes: tuple[LockChange, ...],
) -> LockPart[T]:
    return LockPart(
        kind,
        {name: entry for name, entry in {**old, **found.entries}.items() if name not in unused},
        tuple(sorted(changes, key=lambda change: change.name)),
        same=sum(old.get(name) == entry for name, entry in found.entries.items()),
        kept=tuple(name for name in found.unasked if name in old),
        missing=tuple(name for name in found.unasked if name not in old),
    )


def _removed(
    kind: Kind, old: Mapping[str, T], unused: Collection[str], which: Callable[[T], str]
) -> Iterator[LockChange]:
    for name in unused:
        yield LockChange(kind, "remove", name, which(old[name]), None, "no model uses it")


def _images(old: Mapping[str, Locked], found: Mapping[str, Locked]) -> Iterator[LockChange]:
    for name, entry in found.items():
        before = old.get(name)
        if before is None:
            yield LockChange("images", "add", name, None, digest(entry), _demands(entry))
        elif before != entry:
            yield LockChange("images", "change", name, digest(before), digest(entry), _other(before, entry))


def _demands(entry: Locked) -> str:
    cuda = entry.cuda if isinstance(entry, LockedImage) else None
    return "" if cuda is None else f"CUDA {cuda}"


def _other(before: Locked, after: Locked) -> str:
    old, new = _demands(before), _demands(after)
    return f"{old or 'CUDA unknown'} → {new or 'CUDA unknown'}" if old != new else ""


def _weights(old: Mapping[str, Snapshot], found: Mapping[str, Snapshot]) -> Iterator[LockChange]:
    for name, entry in found.items():
        before = old.get(name)
        if before is None:
            note = f"{_files(len(entry.files))}, {shown(entry.size)}"
            yield LockChange("weights", "add", name, None, entry.commit, note)
        elif before != entry:
            yield LockChange("weights", "change", name, before.commit, entry.commit, _moved(before, entry))


def _moved(before: Snapshot, after: Snapshot) -> str:
    """How many files differ, and how much of them hosts fetch anew."""
    other = [file for path, file in after.files.items() if before.files.get(path) != file]
    gone = len(before.files.keys() - after.files.keys())
    fetched = f"{_files(len(other))} to fetch, {shown(sum(file.size for file in other))}"
    return f"{fetched}, {gone} gone" if gone else fetched


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"


def shown(size: int) -> str:
    """Bytes in the unit that suits them: `248 kB`, `19.4 GB`."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} B"
