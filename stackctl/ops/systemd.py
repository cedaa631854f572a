"""systemd units, level-triggered: a restart that a killed run owed is still owed to the next."""

import re
import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.ops.question import Kind, Question
from stackctl.ops.step import Guard, Step, changes, files_of
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

STAMPS = "/run/stackctl/units"
"""Folder with what units were last started or reloaded with; in memory, as the units' lives are."""

_RUNNING = {"active", "reloading", "activating"}
_ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "linked", "transient"}


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
        f" -p StateChangeTimestamp -p StateChangeTimestampMonotonic -- {_words([unit for unit, _ in units])}"
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
    return _FILES.replace("@STAMP@", _stamp(unit)).replace("@FILES@", _words(files))


def _stamp(unit: str) -> str:
    return shlex.quote(f"{STAMPS}/{unit}")


def _words(paths: Sequence[str]) -> str:
    return " ".join(shlex.quote(path) for path in paths)


# Reading a pipe that somebody has put there would wait without end.
_HASH = """hash() { [ -f "$1" ] && s=$(sha256sum -- "$1" 2>/dev/null) || s=absent; s=${s%% *}; }
"""
_FILES = f"""
read -r up rest </proc/uptime
printf 'Uptime=%s\\n' "$up"
date +Now=%s.%6N
[ ! -f @STAMP@ ] || sed 's/^/stamp /' @STAMP@
{_HASH}for f in @FILES@; do
  hash "$f"
  printf 'file %s %s %s\\n' "$s" "$(stat -c %.6Z -- "$f" 2>/dev/null || echo -)" "$f"
done
"""


@operation()
def service(
    unit: str,
    reads: Sequence[str] = (),
    on_change: Literal["restart", "reload"] = "restart",
    after: Sequence[Any] = (),
    defined_by: Sequence[str] = (),
    redefined: Sequence[Any] = (),
    guard: Guard | None = None,
) -> Generator[Step, None, None]:
    """Have a unit enabled and running, with its files as they are now.

    It is restarted (or reloaded) when one of the files it `reads` is not what it was last started with, or when
    one of the earlier operations in `after` changes something; and always restarted for its own unit files
    `defined_by`, which the operations `redefined` write.
    """
    files = (*reads, *defined_by)
    state = host.get_fact(Unit, unit=unit, files=files)
    _note(unit, state)
    touched = _because(after, reads)
    reshaped = _because(redefined, defined_by)
    if state.enabled not in _ENABLED:
        enable = f"systemctl enable -- {shlex.quote(unit)}"
        yield Step(enable, reason=f"enable {unit} at boot", known=state.exists, guard=guard)
    # A daemon-reload takes GPUs from running containers, so there is none without need.
    if state.reread or (reshaped and state.active in _RUNNING):
        yield Step("systemctl daemon-reload", reason="let systemd read the changed unit", guard=guard)
    wanted = _wanted(unit, state, reads, on_change, defined_by, touched, reshaped)
    if wanted is not None:
        verb, reason = wanted
        yield Step(
            _script(unit, verb, files),
            reason=reason,
            hint=f"read `journalctl -u {unit}` on the host",
            known=state.exists,
            guard=guard,
        )


def _note(unit: str, state: UnitState) -> None:
    if not state.exists:
        saw(f"unit {unit}")
        return
    active = "active" if state.active in _RUNNING else state.active
    saw(
        f"unit {unit}",
        state="inactive" if active == "deactivating" else active,
        boot="enabled" if state.enabled in _ENABLED else "disabled",
    )


def _because(operations: Sequence[Any], files: Sequence[str]) -> str | None:
    """What changes, of the earlier operations that change something; None where none does."""
    changing = [operation for operation in operations if changes(operation)]
    if not changing:
        return None
    paths = [path for operation in changing for path in files_of(operation)]
    return _change(paths or files) if paths or files else "what it hangs on changes"


def _change(paths: Sequence[str]) -> str:
    return f"{some(paths)} {'changes' if len(paths) == 1 else 'change'}"


def _wanted(
    unit: str,
    state: UnitState,
    reads: Sequence[str],
    on_change: str,
    defined_by: Sequence[str],
    touched: str | None,
    reshaped: str | None,
) -> tuple[str, str] | None:
    """What to do with the unit, and why; None: it runs as it should."""
    if state.active not in _RUNNING:
        return "restart", f"start {unit}"
    if reshaped or touched:
        verb = "restart" if reshaped else on_change
        return verb, f"{verb} {unit}, because {reshaped or touched}"
    if older := state.stale(defined_by, state.started):
        return "restart", f"restart {unit}, {some(older)} changed since its last start"
    if older := state.stale(reads, state.started if on_change == "restart" else state.loaded):
        last = "start" if on_change == "restart" else "reload"
        return on_change, f"{on_change} {unit}, {some(older)} changed since its last {last}"
    return None


def _script(unit: str, verb: str, files: Sequence[str]) -> str:
    command = "reload-or-restart" if verb == "reload" else verb
    name = shlex.quote(unit)
    act = _ACT.replace("@COMMAND@", command)
    if files:
        act = _BEFORE + act + _AFTER
    return (
        act.replace("@UNIT@", name)
        .replace("@STAMP@", _stamp(unit))
        .replace("@STAMPS@", shlex.quote(STAMPS))
        .replace("@FILES@", _words(files))
    )


# What the files hold is asked before the unit reads them: a change in between then counts as one after.
_BEFORE = f"""{_HASH}files=$(for f in @FILES@; do hash "$f"; printf '%s %s\\n' "$s" "$f"; done)
"""
# A simple service counts as started before it has read its configuration: look again a second later.
# An operator's restart is none of the crashes that systemd counts: a few applies in a minute must not leave the
# unit refused, and down.
_ACT = """systemctl reset-failed -- @UNIT@ 2>/dev/null
systemctl @COMMAND@ -- @UNIT@ && sleep 1 && systemctl is-active -q -- @UNIT@ || {
  rc=$?
  journalctl --no-pager -q -o cat -n 20 -u @UNIT@ >&2
  exit $rc
}
"""
# Hashes of secrets are for root alone. Without a stamp times are compared: no reason to fail.
_AFTER = """mkdir -p -m 700 -- @STAMPS@ && t=$(mktemp -- @STAMPS@/.XXXXXXXXXX) &&
  printf 'invocation %s\\n%s\\n' "$(systemctl show -p InvocationID --value -- @UNIT@)" "$files" >"$t" &&
  mv -fT -- "$t" @STAMP@ || true
"""
