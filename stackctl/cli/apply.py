"""`stackctl apply`: plan, ask, carry out, prove that nothing is left to do."""

import json
import sys
from typing import Annotated

import typer

from stackctl.cli.options import AcceptKeys, AsJson, Environment, Limit, ProjectPath
from stackctl.cli.progress import Progress
from stackctl.cli.reach import reached
from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.run import Run
from stackctl.plan.change import Outcome, Plan
from stackctl.views.findings import findings_text
from stackctl.views.plan import outcome_json, outcome_text, plan_json, plan_text

_INTERRUPTED = 130


def apply(
    environment: Environment,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Bring the hosts to what the inventory says, after showing the plan and asking."""
    if not yes and (as_json or not sys.stdin.isatty()):
        what = "nobody is there to confirm the plan"
        raise FindingsError(Finding("apply", what, "read it with `stackctl plan`, then pass `--yes`"))
    with reached(project, environment, limit, accept=accept, quiet=as_json) as (run, progress):
        planned = run.plan()
        progress.pause()
        if not as_json:
            _show_plan(planned)
        if planned.changes and not (yes or _confirmed(planned)):
            typer.echo("Cancelled. Nothing was changed.", err=True)
            raise typer.Exit(1)
        outcome = _carry_out(run, progress, planned)
    _report(planned, outcome, as_json=as_json)


def _show_plan(planned: Plan) -> None:
    typer.echo(plan_text(planned))
    if planned.findings:
        typer.echo(findings_text(planned.findings), err=True)


def _confirmed(planned: Plan) -> bool:
    return typer.confirm(f"Apply this to {planned.environment}?", default=False, err=True)


def _carry_out(run: Run, progress: Progress, planned: Plan) -> Outcome:
    try:
        return run.apply(planned)
    except KeyboardInterrupt:
        progress.pause()
        stopped = run.interrupted()
        typer.echo(outcome_text(stopped), err=True)
        typer.echo(findings_text([finding for host in stopped.hosts for finding in host.findings]), err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _report(planned: Plan, outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        values = {"plan": json.loads(plan_json(planned)), "outcome": json.loads(outcome_json(outcome))}
        typer.echo(json.dumps(values, indent=2))
    elif planned.changes:
        typer.echo(outcome_text(outcome))
        known = set(planned.findings)
        new = [finding for host in outcome.hosts for finding in host.findings if finding not in known]
        if new:
            typer.echo(findings_text(new), err=True)
    if outcome.failed:
        raise typer.Exit(1)
