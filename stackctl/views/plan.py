"""A plan and an outcome as people read them, and as machines do."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from stackctl.plan.change import Change, FileChange, HostOutcome, HostPlan, Outcome, Plan
from stackctl.views.findings import listed
from stackctl.views.group import alike, grouped
from stackctl.views.terminal import plain

_SHOWN_OF_NEW = 12
SIGNS = {"add": "+", "change": "~", "remove": "-", "run": ">"}


def plan_text(plan: Plan) -> str:
    """Hosts with what would change on them, why, and file diffs; like hosts folded into one; totals last."""
    width = widths(change for host in plan.hosts for change in host.changes)
    lines: list[str] = []
    for label, host in grouped(plan.hosts, _likeness):
        lines += _host_plan(label, host, width)
    if any(change.guard for host in plan.hosts for change in host.changes):
        lines.append("A host takes what is guarded back by itself unless it is reached again afterwards.")
    return plain("\n".join([*lines, plan_totals(plan)]))


def plan_totals(plan: Plan) -> str:
    """`Plan: 1 to add, 2 to change, 0 to remove on 2 of 3 hosts.`"""
    failed = sum(bool(host.findings) for host in plan.hosts)
    reached = f"; {failed} could not be planned" if failed else ""
    if not plan.changes:
        return f"Nothing to do on {_hosts(len(plan.hosts) - failed)}{reached}."
    actions = [change.action for host in plan.hosts for change in host.changes]
    counts = f"{actions.count('add')} to add, {actions.count('change')} to change, {actions.count('remove')} to remove"
    runs = f", {actions.count('run')} to run" if "run" in actions else ""
    touched = sum(bool(host.changes) for host in plan.hosts)
    return f"Plan: {counts}{runs} on {touched} of {_hosts(len(plan.hosts))}{reached}."


def outcome_text(outcome: Outcome) -> str:
    """What came of each host, like ones folded into one line; what did not converge; totals last."""
    told = grouped(outcome.hosts, lambda host: (host.left, _verdict(host)))
    width = max((len(label) for label, _ in told), default=0)
    lines: list[str] = []
    for label, host in told:
        lines.append(f"{label:<{width}}  {_verdict(host)}")
        lines += [
            f"  {SIGNS[change.action]} {change.capability} · {change.operation}: {change.reason}"
            for change in host.left
        ]
    return plain("\n".join([*lines, _outcome_totals(outcome)]))


def _outcome_totals(outcome: Outcome) -> str:
    failed = sum(host.failed for host in outcome.hosts)
    unreached = sum(not host.reached for host in outcome.hosts)
    done = sum(len(host.done) for host in outcome.hosts)
    verdict = f"{failed} of {_hosts(len(outcome.hosts))} failed" if failed else "nothing left to do"
    stopped = f", {unreached} not reached" if unreached else ""
    return f"Applied: {_changes(done)} on {_hosts(len(outcome.hosts) - unreached)}, {verdict}{stopped}."


def plan_json(plan: Plan) -> str:
    """The plan's values, as they are."""
    return json.dumps({"format": 1, **asdict(plan)}, indent=2)


def outcome_json(outcome: Outcome) -> str:
    """The outcome's values, as they are."""
    return json.dumps({"format": 1, **asdict(outcome), "failed": outcome.failed}, indent=2)


def _likeness(host: HostPlan) -> tuple[str, bool]:
    """All that is shown of it: contents that are shown alike may differ in the host's address."""
    shown = [
        replace(change, files=tuple(replace(file, sha256="") for file in change.files))
        for change in host.changes
    ]
    return alike(host.host, repr(shown)), bool(host.findings)


def _host_plan(label: str, host: HostPlan, width: tuple[int, int]) -> Iterator[str]:
    if host.findings and not host.changes:
        yield f"{label}  cannot be planned, see below"
    elif not host.changes:
        yield f"{label}  up to date"
    else:
        yield label
        for change in host.changes:
            yield from change_lines(change, width)


def change_lines(change: Change, width: tuple[int, int]) -> Iterator[str]:
    """One change: its sign, its reason and what it hangs on, then its files."""
    capability, operation = width
    yield (
        f"  {SIGNS[change.action]} {change.capability:<{capability}}  {change.operation:<{operation}}"
        f"  {change.reason}{_conditions(change)}"
    )
    for file in change.files:
        yield f"      {SIGNS[file.action]} {file.path}  {file.reason}"
        yield from (f"        {line}" for line in folded_diff(file))


def _conditions(change: Change) -> str:
    """What it hangs on, where its reason does not say so already."""
    after = [f"`{name}`" for name in change.after if f"`{name}`" not in change.reason]
    guarded = f" (guarded as {change.guard})" if change.guard else ""
    return f"{f', after {listed(after)}' if after else ''}{guarded}"


def folded_diff(file: FileChange) -> Sequence[str]:
    """The diff without its file names; of a new file only the beginning, since nobody compares it."""
    lines = file.diff.split("\n")[2:]
    if file.action != "add" or len(lines) <= _SHOWN_OF_NEW + 1:
        return lines
    return [*lines[:_SHOWN_OF_NEW], f"… {len(lines) - _SHOWN_OF_NEW} more lines; `stackctl render` has them"]


def widths(changes: Iterator[Change]) -> tuple[int, int]:
    """Columns for capabilities and for operations."""
    shown = tuple(changes)
    return (
        max((len(change.capability) for change in shown), default=0),
        max((len(change.operation) for change in shown), default=0),
    )


def _verdict(host: HostOutcome) -> str:
    if not host.reached:
        return "not reached: the rollout had stopped"
    if host.findings:
        return f"failed after {_changes(len(host.done))}, see below"
    if host.left:
        return f"did not converge: after {_changes(len(host.done))} this is still to do"
    return f"done, {_changes(len(host.done))}" if host.done else "up to date"


def _changes(count: int) -> str:
    return f"{count} change{'' if count == 1 else 's'}"


def _hosts(count: int) -> str:
    return f"{count} host{'' if count == 1 else 's'}"
