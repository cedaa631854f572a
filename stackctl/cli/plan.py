"""`stackctl plan`: what an apply would do."""

from typing import Annotated

import typer

from stackctl.cli.options import AcceptKeys, AsJson, Environment, Limit, ProjectPath
from stackctl.cli.reach import reached
from stackctl.views.findings import findings_text
from stackctl.views.plan import plan_json, plan_text


def plan(
    environment: Environment,
    limit: Limit = None,
    as_json: AsJson = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when there are changes.")] = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Show what an apply would change on each host, and why. Changes nothing."""
    with reached(project, environment, limit, accept=accept, quiet=as_json) as (run, _):
        planned = run.plan()
    typer.echo(plan_json(planned) if as_json else plan_text(planned))
    if planned.findings and not as_json:
        typer.echo(findings_text(planned.findings), err=True)
    if planned.findings:
        raise typer.Exit(1)
    if exit_code and planned.changes:
        raise typer.Exit(3)
