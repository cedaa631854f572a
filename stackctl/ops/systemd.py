"""systemd units, level-triggered: a restart that a killed run owed is still owed to the next."""

import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.ops.step import Step, changes

_RUNNING = {"active", "reloading", "activating"}
_ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "linked", "transient"}


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it, and when the files it depends on last changed."""

    active: str = "inactive"
    enabled: str = ""
    reread: bool = False
    """Whether systemd has yet to read the unit's changed definition."""
    started: datetime | None = None
    """When the unit last became active."""
    loaded: datetime | None = None
    """When it last became active or was reloaded."""
    files: Mapping[str, datetime] = field(default_factory=dict)
    """Inode change time by path; a rename into place counts, a copied modification time does not."""

    def newer(self, paths: Sequence[str], than: datetime | None) -> bool:
        """Whether one of the files changed since; a unit that never ran has nothing stale."""
        return than is not None and any(self.files[path] >= than for path in paths if path in self.files)


class Unit(FactBase[UnitState]):
    """State of one unit; found by any of its names, unlike a match on `Id`."""

    def command(self, unit: str, files: Sequence[str]) -> str:
        """Ask systemd and stat in one go."""
        listed = " ".join(shlex.quote(path) for path in files)
        show = (
            "systemctl show --timestamp=us+utc -p ActiveState -p UnitFileState -p NeedDaemonReload "
            f"-p ActiveEnterTimestamp -p StateChangeTimestamp -- {shlex.quote(unit)}"
        )
        return f"{show}\nstat -c '%.6Z=%n' -- {listed} 2>/dev/null || true" if files else show

    @staticmethod
    def default() -> UnitState:
        """A unit nobody has heard of."""
        return UnitState()

    def process(self, output: Iterable[str]) -> UnitState:
        """`Key=value` lines of systemd, then `time=path` lines of stat."""
        pairs = [line.partition("=")[::2] for line in output if "=" in line]
        values = dict(pairs)
        return UnitState(
            values.get("ActiveState", "inactive"),
            values.get("UnitFileState", ""),
            values.get("NeedDaemonReload") == "yes",
            _timestamp(values.get("ActiveEnterTimestamp", "")),
            _timestamp(values.get("StateChangeTimestamp", "")),
            {path: datetime.fromtimestamp(float(key), UTC) for key, path in pairs if path.startswith("/")},
        )


def _timestamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC)
    except ValueError:
        return None


@operation()
def service(
    unit: str,
    reads: Sequence[str] = (),
    on_change: Literal["restart", "reload"] = "restart",
    after: Sequence[Any] = (),
    defined_by: Sequence[str] = (),
    redefined: Sequence[Any] = (),
) -> Generator[Step, None, None]:
    """Have a unit enabled and running, with its files as they are now.

    It is restarted (or reloaded) when one of the files it `reads` is newer than its last start, or when one
    of the earlier operations in `after` changes something; and always restarted for its own unit files
    `defined_by`, which the operations `redefined` write.
    """
    state = host.get_fact(Unit, unit=unit, files=(*reads, *defined_by))
    touched = any([changes(operation) for operation in after])
    reshaped = any([changes(operation) for operation in redefined])
    if state.enabled not in _ENABLED:
        yield Step(f"systemctl enable -- {shlex.quote(unit)}", reason=f"enable {unit} at boot")
    # A daemon-reload takes GPUs from running containers, so there is none without need.
    if state.reread or (reshaped and state.active in _RUNNING):
        yield Step("systemctl daemon-reload", reason="let systemd read the changed unit")
    yield from _act(unit, _reason(state, reads, on_change, defined_by, touched=touched, reshaped=reshaped))


def _reason(
    state: UnitState,
    reads: Sequence[str],
    on_change: str,
    defined_by: Sequence[str],
    *,
    touched: bool,
    reshaped: bool,
) -> tuple[str, str] | None:
    """What to do with the unit, and why; None: it runs as it should."""
    if state.active not in _RUNNING:
        return "restart", ""
    if reshaped:
        return "restart", "its unit changes"
    if touched:
        return on_change, "its files change"
    if state.newer(defined_by, state.started):
        return "restart", "its unit is newer than its last start"
    if state.newer(reads, state.loaded):
        return (
            on_change,
            f"its files are newer than its last {'start' if on_change == 'restart' else 'reload'}",
        )
    return None


def _act(unit: str, wanted: tuple[str, str] | None) -> Generator[Step, None, None]:
    if wanted is None:
        return
    verb, why = wanted
    name = shlex.quote(unit)
    command = "reload-or-restart" if verb == "reload" else verb
    # A simple service counts as started before it has read its configuration: look again a second later.
    script = (
        f"systemctl {command} -- {name} && sleep 1 && systemctl is-active -q -- {name} && exit 0\n"
        f"rc=$?\njournalctl --no-pager -q -o cat -n 20 -u {name} >&2\nexit $rc\n"
    )
    reason = f"{verb} {unit}, {why}" if why else f"start {unit}"
    yield Step(script, reason=reason, hint=f"read `journalctl -u {unit}` on the host")
