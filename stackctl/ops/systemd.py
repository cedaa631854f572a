"""systemd units, level-triggered: a restart that a killed run owed is still owed to the next."""

import shlex
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.ops.step import Step, changes

_ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "linked", "transient"}


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it, and when the files it reads last changed."""

    load: str
    active: str
    enabled: str
    since: datetime | None
    """When the unit last became active or was reloaded."""
    newest: datetime | None
    """Inode change time of the newest of its files; a rename into place counts, a copied mtime does not."""

    @property
    def stale(self) -> bool:
        """Whether a file changed after the unit read it."""
        return self.since is not None and self.newest is not None and self.newest >= self.since


class Unit(FactBase[UnitState]):
    """State of one unit; found by any of its names, unlike a match on `Id`."""

    def command(self, unit: str, files: Sequence[str]) -> str:
        """Ask systemd and stat in one go."""
        listed = " ".join(shlex.quote(path) for path in files)
        show = (
            "systemctl show --timestamp=us+utc -p LoadState -p ActiveState -p UnitFileState "
            f"-p StateChangeTimestamp -- {shlex.quote(unit)}"
        )
        return f"{show}\nstat -c 'changed=%.6Z' -- {listed} 2>/dev/null || true" if files else show

    @staticmethod
    def default() -> UnitState:
        """A unit nobody has heard of."""
        return UnitState("not-found", "inactive", "", None, None)

    def process(self, output: Iterable[str]) -> UnitState:
        """`Key=value` lines, `changed=` once a file."""
        pairs = [line.partition("=")[::2] for line in output if "=" in line]
        values = dict(pairs)
        changed = [datetime.fromtimestamp(float(value), UTC) for key, value in pairs if key == "changed"]
        return UnitState(
            values.get("LoadState", "not-found"),
            values.get("ActiveState", "inactive"),
            values.get("UnitFileState", ""),
            _timestamp(values.get("StateChangeTimestamp", "")),
            max(changed, default=None),
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
) -> Generator[Step, None, None]:
    """Have a unit enabled and running, with its files as they are now.

    It is restarted (or reloaded) when one of the files it `reads` is newer than its last start, or when one
    of the earlier operations in `after` changes something.
    """
    state = host.get_fact(Unit, unit=unit, files=tuple(reads))
    triggered = any([changes(operation) for operation in after])
    if state.enabled not in _ENABLED:
        yield Step(f"systemctl enable -- {shlex.quote(unit)}", reason=f"enable {unit} at boot")
    if state.active not in {"active", "reloading", "activating"}:
        yield _act("restart", unit, f"start {unit}")
    elif triggered:
        yield _act(on_change, unit, f"{on_change} {unit}, its files change")
    elif state.stale:
        yield _act(on_change, unit, f"{on_change} {unit}, its files are newer than its last start")


def _act(verb: str, unit: str, reason: str) -> Step:
    # A simple service counts as started before it has read its configuration: look again a second later.
    name = shlex.quote(unit)
    command = "reload-or-restart" if verb == "reload" else verb
    script = (
        f"systemctl {command} -- {name} && sleep 1 && systemctl is-active -q -- {name} && exit 0\n"
        f"rc=$?\njournalctl --no-pager -q -o cat -n 20 -u {name} >&2\nexit $rc\n"
    )
    return Step(script, reason=reason, hint=f"read `journalctl -u {unit}` on the host")
