"""What changed on hosts since their last apply, and who did what on them before."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from stackctl.plan.drift import Drift, Drifted, HostDrift
from stackctl.plan.receipt import Receipt
from stackctl.views.findings import counted
from stackctl.views.group import alike, grouped
from stackctl.views.plan import change_lines, widths
from stackctl.views.terminal import plain

_SIGNS = {"appeared": "+", "is gone": "-"}


def drift_text(drift: Drift) -> str:
    """Hosts with what is not as it was left, like ones folded into one; totals last."""
    lines: list[str] = []
    for label, host in grouped(drift.hosts, _likeness):
        lines += _host(label, host)
    return plain("\n".join([*lines, _totals(drift)]))


def drift_json(drift: Drift) -> str:
    """The drift's values, as they are; of receipts only who made them."""
    values = asdict(drift)
    for host in values["hosts"]:
        if host["since"] is not None:
            del host["since"]["things"], host["since"]["wanted"]
    return json.dumps({"format": 1, **values, "drifted": drift.drifted}, indent=2)


def made(receipt: Receipt) -> str:
    """`2026-11-24 06:12:01 UTC by alice from laptop, commit 0123456789ab`."""
    return f"{moment(receipt.at)} by {receipt.who} from {receipt.machine}{commit(receipt.commit)}"


def moment(at: str) -> str:
    """A record's time as people read it."""
    return at.replace("T", " ").replace("Z", " UTC")


def commit(name: str) -> str:
    """`, commit 0123456789ab with local changes`; nothing where there was no git."""
    if not name:
        return ""
    return f", commit {name.removesuffix('+')}{' with local changes' if name.endswith('+') else ''}"


def _likeness(host: HostDrift) -> tuple[str, bool, bool]:
    what = alike(host.host, repr((host.things, host.changes)))
    return what, bool(host.findings), host.since is None


def _host(label: str, host: HostDrift) -> Iterator[str]:
    if host.findings:
        yield f"{label}  cannot be compared, see below"
    elif host.since is None:
        yield f"{label}  has no receipt: no apply of this version has ended there yet"
    elif not host.drifted:
        yield f"{label}  as it was left"
    else:
        yield f"{label}  since {made(host.since)}"
        width = max((len(item.thing) for item in host.things), default=0)
        yield from (_thing(item, width) for item in host.things)
        if host.changes:
            yield "  to mend it, an apply would do this:"
            for change in host.changes:
                yield from (f"  {line}" for line in change_lines(change, widths(iter(host.changes))))


def _thing(item: Drifted, width: int) -> str:
    differences = ", ".join(item.differences)
    return f"  {_SIGNS.get(differences, '~')} {item.thing:<{width}}  {differences}"


def _totals(drift: Drift) -> str:
    compared: Sequence[HostDrift] = [host for host in drift.hosts if host.since and not host.findings]
    missing = len(drift.hosts) - len(compared)
    count = sum(len(host.things) or len(host.changes) for host in compared)
    where = sum(host.drifted for host in compared)
    found = f"Drift: {counted(count, 'thing')} on {where} of {counted(len(compared), 'host')}"
    if not drift.drifted:
        found = f"No drift on {counted(len(compared), 'host')}"
    unknown = f"; {missing} could not be compared" if missing else ""
    wanted = sum(len(host.wanted) for host in drift.hosts)
    besides = (
        f" The inventory wants {counted(wanted, 'change')} besides: `stackctl plan {drift.environment}`."
    )
    return f"{found}{unknown}.{besides if wanted else ''}"
