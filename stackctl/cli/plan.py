"""`stackctl plan`: what an apply would do."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stackctl.cli.options import AcceptKeys, AsJson, Deadline, Environment, Limit, ProjectPath
from stackctl.cli.reach import reached
from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.actor import Actor
from stackctl.ops import durable
from stackctl.plan import saved
from stackctl.plan.change import Plan
from stackctl.views.findings import findings_text
from stackctl.views.plan import plan_json, plan_text


def plan(
    environment: Environment,
    limit: Limit = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Save the plan for `stackctl apply FILE`."),
    ] = None,
    as_json: AsJson = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when there are changes.")] = False,
    deadline: Deadline = 300,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Show what an apply would change on each host, and why. Changes nothing."""
    if out is not None and not saved.is_file_name(str(out)):
        what = f"`{out}` could be an environment's name"
        raise FindingsError(Finding("--out", what, f"give it a suffix or a folder, such as `{out}.plan`"))
    with reached(project, environment, limit, accept=accept, quiet=as_json) as (run, _):
        planned = run.plan(deadline)
    typer.echo(plan_json(planned) if as_json else plan_text(planned))
    if planned.findings and not as_json:
        typer.echo(findings_text(planned.findings), err=True)
    if out is not None:
        _save(planned, run.who(), out)
    if planned.findings:
        raise typer.Exit(1)
    if exit_code and planned.changes:
        raise typer.Exit(3)


def _save(planned: Plan, actor: Actor, out: Path) -> None:
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    kept = saved.SavedPlan(planned, actor.who, actor.machine, actor.commit, actor.version, at)
    durable.write(out, saved.write(kept).encode(), mode=0o600)
    typer.echo(f"Saved. Apply exactly this with `stackctl apply {out}`.", err=True)
