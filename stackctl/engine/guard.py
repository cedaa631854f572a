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

ARMED_SECONDS = 45
"""How long after a guarded operation begins the host waits for word before it restores what was."""

STEP_SECONDS = 22
"""Longest that a guarded operation may take: the host must not restore in the middle of it."""

_FRESH_SECONDS = 20
_RESTORED_SECONDS = 60

_FOLDER = '"$STACKCTL_STATE/guard/"@NAME@'
_BOOT = f"""g={_FOLDER} u=stackctl-guard-boot-@NAME@.service w=$STACKCTL_UNITS/multi-user.target.wants
"""
_UNBOOT = """rm -f -- "$w/$u" "$STACKCTL_UNITS/$u"; sync -- "$w" "$STACKCTL_UNITS"
"""
# Whoever renames the folder first has the say: the restoring script or the operator.
# A transient timer that stops is gone with what it would have started, but only a moment later.
_ARM = f"""{_BOOT}timer() {{
  tries=0
  until e=$(systemd-run --quiet --collect --unit=stackctl-guard-@NAME@ --on-active={ARMED_SECONDS} \\
    --timer-property=AccuracySec=500ms -- sh "$g/restore" 2>&1); do
    tries=$((tries + 1)); [ $tries -lt 20 ] || {{ printf '%s\\n' "$e" >&2; return 1; }}; sleep 0.1
  done
}}
if [ ! -f "$g/restore" ]; then
  rm -rf -- "$g" "$g.restoring"; mkdir -p -m 700 -- "$STACKCTL_STATE" "$STACKCTL_STATE/guard" "$g" || exit 1
  @SNAPSHOT@
  {{ printf 'STACKCTL_STATE=%s STACKCTL_UNITS=%s\\n' "$STACKCTL_STATE" "$STACKCTL_UNITS"; cat; }} >"$g/restore" <<'END' || exit 1
@RESTORE@
END
  for f in "$g"/*; do [ -L "$f" ] || sync -- "$f" || exit 1; done
  sync -- "$g" "$STACKCTL_STATE/guard" "$STACKCTL_STATE" && mkdir -p -- "$w" || exit 1
  cat >"$STACKCTL_UNITS/$u" <<END && ln -sfn -- "../$u" "$w/$u" || exit 1
@UNIT@
END
  sync -- "$STACKCTL_UNITS/$u" "$w" "$STACKCTL_UNITS" || exit 1
  timer
else
  systemctl stop stackctl-guard-@NAME@.timer && timer
fi
"""

# A timer does not outlast a power cut: the next boot does its work. Nothing waits for that, so that what it restarts
# may itself wait for the rest of the boot.
_UNIT = """# Owned by stackctl: it is here while a change waits for word that all is well.
[Unit]
Description=Take back a change to @NAME@ that nobody confirmed before the host went down
After=network.target
ConditionPathExists=|$STACKCTL_STATE/guard/@NAME@/restore
ConditionPathExists=|$STACKCTL_STATE/guard/@NAME@.restoring/restore

[Service]
WorkingDirectory=$STACKCTL_STATE/guard
ExecStart=/bin/sh -c 'for f in @NAME@ @NAME@.restoring; do [ ! -f \\$\\$f/restore ] || exec sh \\$\\$f/restore boot; done'"""

# The lock keeps a boot from beginning anew what is being restored at that moment, and not what a power cut stopped.
_RESTORE = f"""{_BOOT}exec 8<"$STACKCTL_STATE/guard" && flock 8 || exit 1
if [ "$1" != boot ] || [ -e "$g" ]; then mv -T -- "$g" "$g.restoring" || exit 0; fi
g=$g.restoring
[ -f "$g/restore" ] || exit 0
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
{_UNBOOT}rm -rf -- "$g"
"""

_TAKE_BACK = f"""g={_FOLDER}
systemctl stop stackctl-guard-@NAME@.timer
[ ! -f "$g/restore" ] || sh "$g/restore"
"""

# What the operator was told to stand must not be taken back after a power cut.
_DISARM = f"""{_BOOT}systemctl stop stackctl-guard-@NAME@.timer
mv -T -- "$g" "$g.confirmed" || exit 1
sync -- "$STACKCTL_STATE/guard"
{_UNBOOT}rm -rf -- "$g.confirmed"
"""

TAKE_BACK_UNCONFIRMED = Command(
    """for g in "$STACKCTL_STATE"/guard/*; do
  case $g in (*.restoring) continue;; (*.confirmed) rm -rf -- "$g";; esac
  [ -f "$g/restore" ] || continue
  systemctl stop "stackctl-guard-$(basename -- "$g").timer"
  sh "$g/restore"
done
for u in "$STACKCTL_UNITS"/stackctl-guard-boot-*.service; do
  n=${u##*/stackctl-guard-boot-} n=${n%.service}
  [ -e "$STACKCTL_STATE/guard/$n" ] || [ -e "$STACKCTL_STATE/guard/$n.restoring" ] ||
    rm -f -- "$STACKCTL_UNITS/multi-user.target.wants/${u##*/}" "$u"
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
        .replace("@COMMANDS@", "\n".join(f"( {command} ) 8<&-" for command in guard.restore))
        .replace("@LINE@", record.line(actor, "restored", guard=guard.name))
    )
    script = _ARM.replace("@SNAPSHOT@", snapshot).replace("@RESTORE@", restore).replace("@UNIT@", _UNIT)
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
        return (yield from _cut_off(guard, where, error, lock))
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
        return (yield from _cut_off(guard, where, error, lock))
    yield (lock(), take_back(guard))  # the lock waits for the end of whatever was running there
    return _restored(guard, where)


def _cut_off(guard: Guard, where: str, error: NotBackError, lock: Callable[[], Command]) -> Work[Finding]:
    with contextlib.suppress(LostError):  # where the old connection is gone too, the timer does it
        yield (take_back(guard),)
    change = f"the change to {guard.name} cut this machine off"
    try:
        yield Reconnect(_RESTORED_SECONDS)
    except NotBackError as second:
        what = f"{change}, and the host is not back"
        hint = "it restores what was by itself; if it stays away, use its console"
        return Finding(where, what, hint, (str(error), str(second)))
    yield (lock(), take_back(guard))  # it may have been booted, and be about to
    return _restored(guard, where, str(error))


def _restored(guard: Guard, where: str, *evidence: str) -> Finding:
    what = f"the change to {guard.name} cut this machine off; the host is as it was before"
    return Finding(where, what, "mend the setting that kept this machine out, then apply again", evidence)


def _named(script: str, guard: Guard) -> str:
    return script.replace("@NAME@", shlex.quote(guard.name))
