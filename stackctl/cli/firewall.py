"""`stackctl firewall …`: what hosts let in."""

from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.capabilities.firewall import resolve
from stackctl.cli.options import AsJson, Environment, ProjectPath
from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.wording import similar
from stackctl.views.firewall import firewall_json, firewall_text

firewall = typer.Typer(no_args_is_help=True, help="Tell who may reach what on a host, and why.")


@firewall.callback()
def _firewall() -> None:
    """Tell who may reach what on a host, and why."""


@firewall.command()
def show(
    environment: Environment,
    host: Annotated[str, typer.Argument(metavar="HOST", help="One of its hosts.", show_default=False)],
    as_json: AsJson = False,
    project: ProjectPath = None,
) -> None:
    """Show who may reach what on a host and why, without touching it."""
    fleet = load_fleet(projects.of(project).root, environment)
    if host not in fleet.hosts:
        what = f"`{host}` is not a host of {environment}"
        raise FindingsError(Finding("firewall show", what, similar(host, fleet.hosts)))
    spec = resolve(fleet, host)
    typer.echo(firewall_json(host, spec) if as_json else firewall_text(host, spec))
