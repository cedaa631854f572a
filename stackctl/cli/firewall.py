"""`stackctl firewall …`: what hosts let in."""

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.capabilities.firewall import resolve
from stackctl.cli.options import AsJson, HostName, ProjectPath, WhichEnvironment
from stackctl.cli.whose import environment_of
from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.wording import similar
from stackctl.views.firewall import firewall_json, firewall_text

firewall = typer.Typer(no_args_is_help=True, help="Tell who may reach what on a host, and why.")


@firewall.callback()
def _firewall() -> None:
    """Tell who may reach what on a host, and why."""


@firewall.command()
def show(
    host: HostName,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    project: ProjectPath = None,
) -> None:
    """Show who may reach what on a host and why, without touching it."""
    root = projects.of(project).root
    where = environment or environment_of(root, host)
    fleet = load_fleet(root, where)
    if host not in fleet.hosts:
        what = f"`{host}` is not a host of {where}"
        raise FindingsError(Finding("HOST", what, similar(host, fleet.hosts)))
    spec = resolve(fleet, host)
    typer.echo(firewall_json(host, spec) if as_json else firewall_text(host, spec))
