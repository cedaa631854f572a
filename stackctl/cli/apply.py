"""`stackctl apply`: plan, ask, carry out, prove that nothing is left to do."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from stackctl.cli.options import (
    AcceptKeys,
    AllowReboot,
    AsJson,
    Batch,
    BreakLock,
    Deadline,
    Limit,
    MaxFailures,
    ProjectPath,
    Yes,
)
from stackctl.cli.progress import Progress
from stackctl.cli.reach import reached
from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.engine.hosts import Grants, Hosts
from stackctl.plan import saved
from stackctl.plan.change import Outcome, Plan
from stackctl.plan.rollout import Rollout
from stackctl.views.findings import findings_text
from stackctl.views.plan import outcome_json, outcome_text, plan_json, plan_text

_INTERRUPTED = 130


def apply(
    target: Annotated[
        str,
        typer.Argument(
            metavar="ENV|FILE", help="Name of inventory/ENV.yaml, or a saved plan.", show_default=False
        ),
    ],
    limit: Limit = None,
    yes: Yes = False,
    batch: Batch = None,
    max_failures: MaxFailures = 0,
    deadline: Deadline = 7200,
    allow_reboot: AllowReboot = False,
    break_lock: BreakLock = False,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Bring the hosts to what the inventory says, after showing the plan and asking.

    A saved plan is carried out as it was read: it is not asked for again, and refused where it is no longer true.
    """
    kept = _read(target, limit) if saved.is_file_name(target) else None
    if kept is None and not yes:
        _require_somebody(as_json=as_json)
    environment = target if kept is None else kept.environment
    chosen = limit if kept is None else ",".join(host.host for host in kept.hosts)
    asked = "--limit" if kept is None else target
    with reached(project, environment, chosen, asked, accept=accept, quiet=as_json) as (run, progress):
        planned = run.plan(deadline)
        progress.pause()
        if kept is not None:
            _require_same(kept, planned, target)
            planned = saved.kept_only(kept, planned)
        _show_plan(planned, as_json=as_json)
        if planned.changes and kept is None and not yes:
            _confirm(planned)
        grants = Grants(allow_reboot, break_lock, deadline)
        outcome = _carry_out(run, progress, planned, Rollout(batch, max_failures), grants)
    _report(planned, outcome, as_json=as_json)


def _require_somebody(*, as_json: bool) -> None:
    """Refuse to go on where nobody could say yes."""
    if as_json or not sys.stdin.isatty():
        what = "nobody is there to confirm the plan"
        raise FindingsError(Finding("apply", what, "read it with `stackctl plan`, then pass `--yes`"))


def _read(target: str, limit: str | None) -> Plan:
    if limit is not None:
        raise FindingsError(Finding("--limit", "a saved plan has its own hosts", "leave it out"))
    try:
        return saved.read(Path(target).read_text(encoding="utf-8")).plan
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        hint = "save one with `stackctl plan ENV --out FILE`"
        raise FindingsError(Finding(target, f"cannot be read: {why}", hint)) from error


def _require_same(kept: Plan, planned: Plan, file: str) -> None:
    """Refuse all of a saved plan where any of it is no longer true."""
    different = saved.differences(kept, planned)
    if different:
        raise FailureError(
            *different,
            Finding(
                file, "is no longer what an apply would do; nothing was done", "make a new plan and read it"
            ),
        )


def _show_plan(planned: Plan, *, as_json: bool) -> None:
    if as_json:  # it comes with the outcome
        return
    typer.echo(plan_text(planned))
    if planned.findings:
        typer.echo(findings_text(planned.findings), err=True)


def _confirm(planned: Plan) -> None:
    if not typer.confirm(f"Apply this to {planned.environment}?", default=False, err=True):
        typer.echo("Cancelled. Nothing was changed.", err=True)
        raise typer.Exit(1)


def _carry_out(run: Hosts, progress: Progress, planned: Plan, how: Rollout, grants: Grants) -> Outcome:
    try:
        return run.apply(planned, how, grants)
    except KeyboardInterrupt:
        progress.pause()
        stopped = run.interrupted()
        typer.echo(outcome_text(stopped), err=True)
        typer.echo(findings_text([finding for host in stopped.hosts for finding in host.findings]), err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _report(planned: Plan, outcome: Outcome, *, as_json: bool) -> None:
    known = set(planned.findings)
    new = [finding for host in outcome.hosts for finding in host.findings if finding not in known]
    if as_json:
        values = {"plan": json.loads(plan_json(planned)), "outcome": json.loads(outcome_json(outcome))}
        typer.echo(json.dumps(values, indent=2))
    elif planned.changes or new:
        typer.echo(outcome_text(outcome))
        if new:
            typer.echo(findings_text(new), err=True)
    if outcome.failed:
        raise typer.Exit(1)
