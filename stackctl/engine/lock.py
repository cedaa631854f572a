"""One operator at a time on a host: a lock that its shell holds, and that goes with the shell."""

import json
import shlex

from stackctl.core.finding import Finding
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer, Command

PATIENCE_SECONDS = 10
"""How long a held lock is waited for: a run that was cut off holds it until its last step has ended."""

_HELD = 75

# The lock file is on a file system that a reboot empties. Only its inode counts: whoever breaks a lock puts a
# new file in its place, and the former holder sees before its next step that the file is not its own any more.
_TAKE = """mkdir -p -m 700 -- "$STACKCTL_RUN" && {broken}command exec 9<>"$STACKCTL_RUN/lock" && {{
  if flock -w {patience} 9; then printf '%s\\n' {holder} >"$STACKCTL_RUN/lock"
  else cat -- "$STACKCTL_RUN/lock"; command exec 9>&-; (exit {held}); fi
}}
"""

STILL_OURS = Command('[ "$STACKCTL_RUN/lock" -ef "/proc/$$/fd/9" ]', 10, own_shell=True)
"""Goes before every step; fails where somebody has broken the lock."""

RELEASE = Command('command exec 9>&- && rm -f -- "$STACKCTL_RUN/lock"', 10, own_shell=True)


def take(actor: Actor, when: str, *, break_it: bool) -> Command:
    """Take the host's lock in the session's own shell; `when` is the operator's time, for people only."""
    holder = {"who": actor.who, "from": actor.machine, "since": when, "run": actor.run}
    script = _TAKE.format(
        broken='rm -f -- "$STACKCTL_RUN/lock" && ' if break_it else "",
        patience=PATIENCE_SECONDS,
        holder=shlex.quote(json.dumps(holder)),
        held=_HELD,
    )
    return Command(script, PATIENCE_SECONDS + 10, own_shell=True)


def refused(host: str, answer: Answer) -> Finding | None:
    """Why the lock could not be had; None: it is ours."""
    if answer.status == 0:
        return None
    if answer.status != _HELD:
        lines = tuple(answer.stderr.strip().splitlines())
        return Finding(host, "the lock cannot be taken", "the lines above are what the host said", lines)
    hint = "wait for that run; if it is dead, and its last step too, pass `--break-lock`"
    return Finding(host, f"{_holder(answer.stdout)} is at work on this host", hint)


def lost(where: str) -> Finding:
    """The finding of a run whose lock somebody else has broken."""
    what = "somebody has broken this run's lock, and may be at work on the host"
    return Finding(where, what, "see `stackctl history`, then apply again")


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"{holder['who']} from {holder['from']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "somebody"
