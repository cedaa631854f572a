"""Restart a host, wait until it is another boot, and come back."""

from collections.abc import Callable

from stackctl.core.finding import Finding
from stackctl.engine import record
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Command
from stackctl.engine.channel import LostError
from stackctl.engine.work import NotBackError, Reconnect, Work

BACK_SECONDS = 1200
"""How long a host may take: servers with many GPUs test themselves for some ten minutes."""

_SETTLE_SECONDS = 4.0

_BOOT_ID = Command("cat /proc/sys/kernel/random/boot_id", 30)

# The shell that asks must have its answer before the connection goes, hence the second's delay.
_RESTART = Command(
    "systemd-run --quiet --collect --on-active=1 --timer-property=AccuracySec=100ms -- systemctl reboot",
    30,
    after_success=True,
)


def rebooted(where: str, reason: str, actor: Actor, lock: Callable[[], Command]) -> Work[Finding | None]:
    """Reboot the host; None once it is back with another boot id and the lock is ours again."""
    boot, noted, asked = yield (_BOOT_ID, record.note(actor, "reboot", reason=reason), _RESTART)
    if noted.status != 0 or asked.status != 0:
        lines = tuple((noted.stderr + asked.stderr).strip().splitlines())
        return Finding(
            where, "the reboot cannot be asked for", "the lines above are what the host said", lines
        )
    now = boot.stdout
    for _ in range(int(BACK_SECONDS / _SETTLE_SECONDS)):
        try:
            yield Reconnect(BACK_SECONDS, settle=_SETTLE_SECONDS)
            (answer,) = yield (_BOOT_ID,)
        except LostError:
            continue  # it let us in while it was going down
        except NotBackError as error:
            what = f"the host did not come back within {BACK_SECONDS // 60} minutes of its reboot"
            return Finding(where, what, "use its console", (str(error),))
        if answer.status == 0 and answer.stdout != now:
            (taken,) = yield (lock(),)
            return (
                None
                if taken.status == 0
                else Finding(where, "the lock is gone after the reboot", "apply again")
            )
    return Finding(
        where, "the host never went down for its reboot", "see what holds it: `systemd-inhibit --list`"
    )
