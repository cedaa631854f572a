"""`stackctl drift`: what changed on hosts since the last apply."""

import typer

from stackctl.cli.options import AcceptKeys, AsJson, Deadline, Environment, Limit, ProjectPath
from stackctl.cli.reach import reached
from stackctl.views.drift import drift_json, drift_text
from stackctl.views.findings import findings_text


def drift(
    environment: Environment,
    limit: Limit = None,
    as_json: AsJson = False,
    deadline: Deadline = 300,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Show what changed on the hosts since the last apply.

    What the inventory wants anew is told apart from it. Exits 3 when there is any drift. Changes nothing.
    """
    with reached(project, environment, limit, accept=accept, quiet=as_json) as (run, _):
        found = run.drift(deadline)
    typer.echo(drift_json(found) if as_json else drift_text(found))
    if found.findings and not as_json:
        typer.echo(findings_text(found.findings), err=True)
    if found.findings:
        raise typer.Exit(1)
    if found.drifted:
        raise typer.Exit(3)
