"""Changes that may cut the operator off: the host takes them back unless a fresh connection says it is well."""

import contextlib
import shlex
from collections.abc import Callable

from stackctl.core.finding import Finding
from stackctl.engine import record
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Command
from stackctl.engine.channel import LostError
from stackctl.engine.work import NotBackError, Reconnect, Work
from stackctl.ops.step import Guard

ARMED_SECONDS = 40
"""How long after a guarded operation begins the host waits for word before it restores what was."""

STEP_SECONDS = 15
"""Longest that a guarded operation may take: the host must not restore in the middle of it."""

_FRESH_SECONDS = 20
_RESTORED_SECONDS = 60

_FOLDER = '"$STACKCTL_STATE/guard/"@NAME@'
# Whoever renames the folder first has the say: the restoring script or the operator.
_ARM = f"""g={_FOLDER}
if [ ! -f "$g/restore" ]; then
  rm -rf -- "$g" "$g.restoring"; mkdir -p -m 700 -- "$STACKCTL_STATE" "$STACKCTL_STATE/guard" "$g" || exit 1
  @SNAPSHOT@
  {{ printf 'STACKCTL_STATE=%s\\n' "$STACKCTL_STATE"; cat; }} >"$g/restore" <<'END' || exit 1
@RESTORE@
END
  sync -- "$g"/*
  systemd-run --quiet --collect --unit=stackctl-guard-@NAME@ --on-active={ARMED_SECONDS} \\
    --timer-property=AccuracySec=500ms -- sh "$g/restore"
else
  systemctl restart stackctl-guard-@NAME@.timer
fi
"""

_RESTORE = f"""g={_FOLDER}
mv -T -- "$g" "$g.restoring" || exit 0
g=$g.restoring
back() {{
  if [ -e "$g/$1" ] || [ -L "$g/$1" ]; then
    t=$(mktemp -u -- "$(dirname -- "$2")/.stackctl.XXXXXXXXXX")
    cp -a -- "$g/$1" "$t" && mv -fT -- "$t" "$2"
  else rm -f -- "$2"; fi
}}
@BACK@
sync
systemctl reset-failed 2>/dev/null  # a unit that failed too often would not be started again
@COMMANDS@
{record.NOTE}note @LINE@
rm -rf -- "$g"
"""

_TAKE_BACK = f"""g={_FOLDER}
systemctl stop stackctl-guard-@NAME@.timer
[ ! -f "$g/restore" ] || sh "$g/restore"
"""

_DISARM = f"""g={_FOLDER}
systemctl stop stackctl-guard-@NAME@.timer
mv -T -- "$g" "$g.confirmed" && rm -rf -- "$g.confirmed"
"""

TAKE_BACK_UNCONFIRMED = Command(
    """for g in "$STACKCTL_STATE"/guard/*; do
  [ -f "$g/restore" ] || continue
  systemctl stop "stackctl-guard-$(basename -- "$g").timer"
  sh "$g/restore"
done
true
""",
    60,
    after_success=True,
)
"""Changes of runs that were cut off before they could say that all is well."""


def arm(guard: Guard, actor: Actor) -> Command:
    """Keep the files as they are and set the timer; or set it anew, where the guard is armed already."""
    numbered = [(str(number), shlex.quote(path)) for number, path in enumerate(guard.paths)]
    snapshot = "\n  ".join(
        f'if [ -e {path} ] || [ -L {path} ]; then cp -a -- {path} "$g/{number}" || exit 1; fi'
        for number, path in numbered
    )
    restore = (
        _RESTORE.replace("@BACK@", "\n".join(f"back {number} {path}" for number, path in numbered))
        .replace("@COMMANDS@", "\n".join(f"( {command} )" for command in guard.restore))
        .replace("@LINE@", record.line(actor, "restored", guard=guard.name))
    )
    script = _ARM.replace("@SNAPSHOT@", snapshot).replace("@RESTORE@", restore)
    return Command(_named(script, guard), 30, after_success=True)


def take_back(guard: Guard) -> Command:
    """Restore what was, now."""
    return Command(_named(_TAKE_BACK, guard), 60)


def disarm(guard: Guard) -> Command:
    """Let the change stand; fails where the host has already taken it back."""
    return Command(_named(_DISARM, guard), 30, after_success=True)


def confirmed(guard: Guard, where: str, lock: Callable[[], Command]) -> Work[Finding | None]:
    """See that a fresh connection finds its way in and let the change stand, or find out what was restored.

    `lock` gives the command that takes the host's lock again, since it goes with the connection.
    """
    try:
        yield Reconnect(_FRESH_SECONDS)
    except NotBackError as error:
        return (yield from _cut_off(guard, where, error))
    taken, stands = yield (lock(), disarm(guard))
    if taken.status == 0 and stands.status == 0:
        return None
    what = f"the host has already taken the change to {guard.name} back: it was reached too late"
    return Finding(where, what, "apply again when its network is well")


def lost(guard: Guard, where: str, lock: Callable[[], Command]) -> Work[Finding]:
    """The connection broke in the middle of the change: have it undone, by a fresh one or by the host itself."""
    try:
        yield Reconnect(_FRESH_SECONDS)
    except NotBackError as error:
        return (yield from _cut_off(guard, where, error))
    yield (lock(), take_back(guard))  # the lock waits for the end of whatever was running there
    return _restored(guard, where)


def _cut_off(guard: Guard, where: str, error: NotBackError) -> Work[Finding]:
    with contextlib.suppress(LostError):  # where the old connection is gone too, the timer does it
        yield (take_back(guard),)
    change = f"the change to {guard.name} cut this machine off"
    try:
        yield Reconnect(_RESTORED_SECONDS)
    except NotBackError as second:
        what = f"{change}, and the host is not back"
        hint = "it restores what was by itself; if it stays away, use its console"
        return Finding(where, what, hint, (str(error), str(second)))
    return _restored(guard, where, str(error))


def _restored(guard: Guard, where: str, *evidence: str) -> Finding:
    what = f"the change to {guard.name} cut this machine off; the host is as it was before"
    return Finding(where, what, "mend the setting that kept this machine out, then apply again", evidence)


def _named(script: str, guard: Guard) -> str:
    return script.replace("@NAME@", shlex.quote(guard.name))
