"""What systemd units on a host are like, and what they were last started with."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pyinfra.api import FactBase

from stackctl.ops.question import Kind, Question

STAMPS = "/run/stackctl/units"
"""Folder with what units were last started or reloaded with; in memory, as the units' lives are."""


@dataclass(frozen=True)
class Moment:
    """When something happened, by the clock as it was then and by the clock as it is now: clocks jump."""

    then: datetime
    now: datetime


@dataclass(frozen=True)
class UnitFile:
    """A file that a unit depends on."""

    sha256: str
    """`absent` where there is none."""
    changed: datetime | None
    """Inode change time; a rename into place counts, a copied modification time does not."""


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it, the files it depends on, and what it was last started with."""

    exists: bool = True
    """False where systemd knows no such unit."""
    active: str = "inactive"
    enabled: str = ""
    reread: bool = False
    """Whether systemd has yet to read the unit's changed definition."""
    started: Moment | None = None
    """When the unit last became active."""
    loaded: Moment | None = None
    """When it last became active or was reloaded."""
    now: datetime | None = None
    """The host's clock."""
    files: Mapping[str, UnitFile] = field(default_factory=dict)
    stamped: Mapping[str, str] = field(default_factory=dict)
    """Hash by path of what we last started or reloaded it with; nothing where somebody else started it since."""

    def stale(self, paths: Sequence[str], since: Moment | None) -> list[str]:
        """Those of the files that changed since; a unit that never ran has nothing stale."""
        return [path for path in paths if since is not None and self._stale(path, since)]

    def _stale(self, path: str, since: Moment) -> bool:
        """By content where we know what the unit was started with, else by time.

        A file is newer than a start when it is so by either clock: a restart too many happens once, because it
        leaves a stamp, and one too few is never made up for. The present clock says nothing about a file that
        it has yet to reach: it was set back since the file was written, to before or after the start.
        """
        file = self.files.get(path)
        if file is None:
            return False
        if path in self.stamped:
            return file.sha256 != self.stamped[path]
        if file.changed is None:
            return False
        future = self.now is not None and file.changed > self.now
        return file.changed >= (since.then if future else min(since.then, since.now))


class Unit(FactBase[UnitState]):
    """State of one unit; found by any of its names, unlike a match on `Id`."""

    def command(self, unit: str, files: Sequence[str]) -> Question:
        """Ask systemd, the clocks, the stamps and the files in one go, about all units at once."""
        return Question(_UNITS, [(unit, tuple(files))])

    @staticmethod
    def default() -> UnitState:
        """A unit nobody has heard of."""
        return UnitState()

    def process(self, output: Iterable[str]) -> UnitState:
        """`Key=value` lines of systemd and of the clocks, then `stamp …` and `file …` lines."""
        rows = list(output)
        values = dict(row.partition("=")[::2] for row in rows if not row.startswith(("stamp ", "file ")))
        stamp = [row.split(" ", 2)[1:] for row in rows if row.startswith("stamp ")]
        files = (row.split(" ", 3)[1:] for row in rows if row.startswith("file "))
        invocation = values.get("InvocationID")
        ours = bool(invocation) and stamp[:1] == [["invocation", invocation]]
        return UnitState(
            values.get("LoadState") != "not-found",
            values.get("ActiveState", "inactive"),
            values.get("UnitFileState", ""),
            values.get("NeedDaemonReload") == "yes",
            _moment(values, "ActiveEnterTimestamp"),
            _moment(values, "StateChangeTimestamp"),
            _seconds(values.get("Now", "")),
            {path: UnitFile(sha256, _seconds(changed)) for sha256, changed, path in files},
            {path: sha256 for sha256, path in stamp[1:]} if ours else {},
        )


def _moment(values: Mapping[str, str], key: str) -> Moment | None:
    try:
        then = datetime.strptime(values.get(key, ""), "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC)
    except ValueError:
        return None
    now = _seconds(values.get("Now", ""))
    since_boot = values.get(f"{key}Monotonic", "")
    if now is None or not since_boot.isdigit() or "Uptime" not in values:
        return Moment(then, then)
    return Moment(then, now - timedelta(seconds=float(values["Uptime"]) - int(since_boot) / 1e6))


def _seconds(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError:
        return None


_UnitFiles = tuple[str, tuple[str, ...]]
"""A unit and the files it depends on."""


def _show(units: Sequence[_UnitFiles]) -> str:
    """systemd's part for all units, then a part for each that has files."""
    return (
        "systemctl show --timestamp=us+utc -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload"
        " -p InvocationID -p ActiveEnterTimestamp -p ActiveEnterTimestampMonotonic"
        f" -p StateChangeTimestamp -p StateChangeTimestampMonotonic -- {words([unit for unit, _ in units])}"
    ) + "".join(
        f"\nprintf 'part %s\\n' {index}{_files_script(unit, files)}"
        for index, (unit, files) in enumerate(units)
        if files
    )


def _by_unit(units: Sequence[_UnitFiles], output: str) -> dict[_UnitFiles, str]:
    """systemd tells of units in the order asked for, with an empty line between them."""
    shown, *parts = re.split(r"^part ([0-9]+)\n", output, flags=re.MULTILINE)
    told = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    blocks = shown.removesuffix("\n").split("\n\n")
    return {
        unit: f"{block}\n{told.get(index, '')}"
        for index, (unit, block) in enumerate(zip(units, blocks, strict=True))
    }


_UNITS = Kind(_show, _by_unit)


def _files_script(unit: str, files: Sequence[str]) -> str:
    return _FILES.replace("@STAMP@", shlex.quote(stamp(unit))).replace("@FILES@", words(files))


def stamp(unit: str) -> str:
    """Path of the file that says what a unit was last started or reloaded with."""
    return f"{STAMPS}/{unit}"


def words(paths: Sequence[str]) -> str:
    """Paths as words of a shell."""
    return " ".join(shlex.quote(path) for path in paths)


# Reading a pipe that somebody has put there would wait without end.
HASH = """hash() { [ -f "$1" ] && s=$(sha256sum -- "$1" 2>/dev/null) || s=absent; s=${s%% *}; }
"""
"""Shell function that puts the hash of a file's content into `$s`, `absent` where there is none."""

_FILES = f"""
read -r up rest </proc/uptime
printf 'Uptime=%s\\n' "$up"
date +Now=%s.%6N
[ ! -f @STAMP@ ] || sed 's/^/stamp /' @STAMP@
{HASH}for f in @FILES@; do
  hash "$f"
  printf 'file %s %s %s\\n' "$s" "$(stat -c %.6Z -- "$f" 2>/dev/null || echo -)" "$f"
done
"""
