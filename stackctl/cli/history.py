"""`stackctl history`: who changed what on the hosts, when, and from which commit."""

from typing import Annotated

import typer

from stackctl.cli.options import AcceptKeys, AsJson, Environment, ProjectPath
from stackctl.cli.reach import reached
from stackctl.views.findings import findings_text
from stackctl.views.history import history_json, history_text


def history(
    environment: Environment,
    host: Annotated[
        str | None, typer.Argument(metavar="[HOST]", help="Only this host.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Show the runs that hosts have a record of.

    Each with who made it, when, from which commit, and what it changed.
    """
    with reached(project, environment, host, accept=accept, quiet=as_json) as (run, _):
        told, findings = run.history()
    typer.echo(history_json(told) if as_json else history_text(told))
    if findings:
        typer.echo(findings_text(findings), err=True)
        raise typer.Exit(1)
