"""The host's own record of runs: shell that appends to its audit log and replaces its receipt."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from stackctl.engine.actor import Actor
from stackctl.engine.batch import Command
from stackctl.plan.change import Change
from stackctl.plan.receipt import Receipt

_SECONDS = 60
_LARGEST = 1024 * 1024
_KEPT = 4

READ_RECEIPT = Command('cat -- "$STACKCTL_STATE/receipt.json" 2>/dev/null || true', _SECONDS)

READ_AUDIT = Command(
    f'for n in {" ".join(f".{n}" for n in range(_KEPT, 0, -1))} ""; do\n'
    '  [ ! -f "$STACKCTL_STATE/audit.jsonl$n" ] || cat -- "$STACKCTL_STATE/audit.jsonl$n"\ndone\n',
    _SECONDS,
)
"""The whole log, oldest first."""

# A line is whole or it is not there: where the disk is full half-way, the log is cut back to what it was.
# It goes through `cat`, which says why it cannot write; the shell's own printf does not. `date` is the host's; the order of lines, not their times, says what came first, since clocks are set back.
NOTE = """note() {
  log=$STACKCTL_STATE/audit.jsonl
  mkdir -p -m 700 -- "$STACKCTL_STATE" && (umask 077 && : >>"$log") || return 1
  size=$(stat -c %s -- "$log") || return 1
  if printf '{"at": "%s", %s\\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "${1#?}" | cat >>"$log" && sync -- "$log"
  then return 0; fi
  truncate -s "$size" -- "$log"
  return 1
}
"""

_ROTATE = f"""log=$STACKCTL_STATE/audit.jsonl
if [ -f "$log" ] && [ "$(stat -c %s -- "$log")" -gt {_LARGEST} ]; then
  for n in {" ".join(str(n) for n in range(_KEPT - 1, 0, -1))}; do
    [ ! -f "$log.$n" ] || mv -f -- "$log.$n" "$log.$((n + 1))"
  done
  mv -f -- "$log" "$log.1"
fi
"""

_RECEIPT = """mkdir -p -m 700 -- "$STACKCTL_STATE"
t=$(mktemp -- "$STACKCTL_STATE/.receipt.XXXXXXXXXX") || exit 1
trap 'rm -f -- "$t"' EXIT
{ printf '{"at": "%s", ' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" && tail -c +2; } >"$t" <<'END' || exit 1
@TEXT@
END
sync -- "$t" && mv -fT -- "$t" "$STACKCTL_STATE/receipt.json" && sync -- "$STACKCTL_STATE"
"""


def begin(actor: Actor, environment: str, changes: int, reboots: Sequence[str]) -> Command:
    """Note that a run begins, and the reboots it owes from now on, which a killed run must not forget."""
    text = line(
        actor,
        "begin",
        who=actor.who,
        machine=actor.machine,
        commit=actor.commit,
        version=actor.version,
        environment=environment,
        changes=changes,
    )
    owed = "".join(
        f'mkdir -p -m 700 -- "$STACKCTL_RUN/reboot" && : >"$STACKCTL_RUN/reboot/"{shlex.quote(marker)} || exit 1\n'
        for marker in reboots
    )
    return Command(f"{NOTE}{_ROTATE}{owed}note {text}\n", _SECONDS, after_success=True)


def step(actor: Actor, change: Change) -> Command:
    """Note that an operation is about to change the host; what cannot be noted is not done."""
    words = {"action": change.action, "reason": change.reason}
    return note(actor, "step", capability=change.capability, operation=change.operation, **words)


def ended(actor: Actor, change: Change) -> Command:
    """Note how the operation went whose commands stand before this in the batch; nothing if it never began."""
    words = {"capability": change.capability, "operation": change.operation}
    begun = json.dumps({"run": actor.run, "kind": "step", **words})[1:-1]
    done, bad = (line(actor, kind, **words) for kind in ("done", "failed"))
    return Command(
        f'{NOTE}tail -n 1 -- "$STACKCTL_STATE/audit.jsonl" | grep -qF -- {shlex.quote(begun)} || exit 0\n'
        f'if [ "$STACKCTL_FAILED" = 0 ]; then note {done}; else note {bad}; fi\n',
        _SECONDS,
    )


def note(actor: Actor, kind: str, **more: Any) -> Command:
    """Note something else."""
    return Command(f"{NOTE}note {line(actor, kind, **more)}\n", _SECONDS, after_success=True)


def write_receipt(receipt: Receipt) -> Command:
    """Replace the receipt, whole or not at all."""
    return Command(_RECEIPT.replace("@TEXT@", receipt.text()), _SECONDS, after_success=True)


def line(actor: Actor, kind: str, **more: Any) -> str:
    """An entry without its time, quoted for the shell function `note`."""
    return shlex.quote(json.dumps({"run": actor.run, "kind": kind, **more}))
