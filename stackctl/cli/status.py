"""`stackctl status`: how hosts are, at a glance."""

from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.options import AcceptKeys, AsJson, Environment, ProjectPath
from stackctl.cli.reach import reached
from stackctl.doctor.status import HostStatus, read, scripts, unreached
from stackctl.schema.fleet import Fleet
from stackctl.views.findings import findings_text
from stackctl.views.status import status_json, status_text


def status(
    environment: Environment,
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="[HOST]...", help="Only these hosts.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Show how hosts are, at a glance.

    Whether they are reached, when they were applied last, which uplinks work and which one is used, and whom of the
    mesh they hear. It reads alone. Exits 1 when something is wrong.
    """
    names = _names(load_fleet(projects.of(project).root, environment))
    limit = ",".join(hosts) if hosts else None
    with reached(project, environment, limit, "HOST", accept=accept, quiet=as_json) as (run, _):
        told, findings = run.ask({job.host: scripts(job) for job in run.jobs})
    found: list[HostStatus] = []
    for job in run.jobs:
        if job.host in told:
            answers = [(item.status, item.stdout, item.stderr) for item in told[job.host]]
            found.append(read(job, environment, answers, names))
        else:
            found.append(unreached(job.host, findings))
    typer.echo(status_json(found) if as_json else status_text(found))
    wrong = [finding for host in found for finding in host.findings]
    if wrong and not as_json:
        typer.echo(findings_text(wrong), err=True)
    if wrong:
        raise typer.Exit(1)


def _names(fleet: Fleet) -> dict[str, str]:
    """Hosts by their address in the mesh."""
    return {str(host.mesh.address): name for name, host in fleet.hosts.items() if host.mesh is not None}
