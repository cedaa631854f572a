"""systemd units, level-triggered: a restart that a killed run owed is still owed to the next."""

import shlex
from collections.abc import Generator, Sequence
from typing import Any, Literal

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.ops.step import Guard, Step, changes, files_of
from stackctl.ops.trace import saw
from stackctl.ops.unitstate import HASH, Unit, UnitState, stamp, words
from stackctl.ops.wording import some

_RUNNING = {"active", "reloading", "activating"}
_ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "linked", "transient"}


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
        .replace("@STAMP@", shlex.quote(stamp(unit)))
        .replace("@STAMPS@", shlex.quote(stamp(unit).rpartition("/")[0]))
        .replace("@FILES@", words(files))
    )


# What the files hold is asked before the unit reads them: a change in between then counts as one after.
_BEFORE = f"""{HASH}files=$(for f in @FILES@; do hash "$f"; printf '%s %s\\n' "$s" "$f"; done)
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
