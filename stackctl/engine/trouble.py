"""What went wrong between us and a host, as findings."""

import logging
from dataclasses import replace

from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.channel import LostError
from stackctl.engine.hostkeys import NewKey
from stackctl.engine.work import DeadlineError

log = logging.getLogger("stackctl")

_AGAIN = "check the host and its network, then apply again: it takes up where this stopped"


def findings_of(host: str, error: Exception, current: str | None = None) -> tuple[Finding, ...]:
    """Why a host cannot be worked on any more; `current` is the operation that was at work."""
    log.debug("%s", host, exc_info=error)
    where = f"{host} · {current}" if current else host
    if isinstance(error, FindingsError):
        return tuple(
            item if item.where.startswith(host) else replace(item, where=f"{host} · {item.where}")
            for item in error.findings
        )
    if isinstance(error, LostError):
        what = f"{error}; what the step did is not known" if current else str(error)
        return (Finding(where, what, _AGAIN),)
    if isinstance(error, DeadlineError):
        what = f"{error}, and was given up" + ("; the step ends by itself on the host" if current else "")
        return (Finding(where, what, f"{_AGAIN}; `--deadline` gives it longer"),)
    what = f"a fault of stackctl's own: {type(error).__name__}: {error}"
    return (Finding(where, what, "run again with `--debug` and report what it shows"),)


def interruption(host: str, current: str | None) -> Finding:
    """What to say of a host that the operator interrupted."""
    what = "interrupted" if current is None else "interrupted; the step ends by itself on the host"
    where = f"{host} · {current}" if current else host
    return Finding(where, what, "apply again: it takes up where this stopped")


def distrusted(key: NewKey) -> Finding:
    """What to say of a host whose key nobody has vouched for."""
    return Finding(
        key.host,
        f"the host key of {key.name} is not known: {key.kind} {key.fingerprint}",
        "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_*.pub` on the host, then run with"
        " `--accept-new-host-keys` or pin it under `host_keys`",
    )
