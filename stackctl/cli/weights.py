"""`stackctl weights …`: what hosts keep of weights, and what of it nobody needs."""

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.options import AcceptKeys, AsJson, Environment, Limit, ProjectPath, Yes
from stackctl.cli.reach import reached
from stackctl.core.finding import Finding, FindingsError
from stackctl.doctor.weights import HostWeights, Kept, kept_on, look, read, remove, removed
from stackctl.engine.hosts import Hosts
from stackctl.schema.fleet import Fleet
from stackctl.views.findings import findings_text
from stackctl.views.weights import removed_text, unused_text, weights_json, weights_text

weights = typer.Typer(
    no_args_is_help=True, help="Look at the weights that hosts keep, and remove unused ones."
)


@weights.command(name="list")
def list_(
    environment: Environment,
    limit: Limit = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """List the weights that hosts have fetched, with who needs them.

    What is being fetched is listed with how much has come. Exits 1 where a host is not reached.
    """
    fleet = _fleet(project, environment)
    limit = limit or _carriers(fleet)
    with reached(project, environment, limit, accept=accept, quiet=as_json) as (run, _):
        found, unreached = _looked(fleet, run)
    typer.echo(weights_json(found, unreached) if as_json else weights_text(found))
    _end(unreached, quiet=as_json)


@weights.command()
def prune(
    environment: Environment,
    limit: Limit = None,
    yes: Yes = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Remove fetched weights that no model of the inventory and no running container uses, after asking.

    Fetches that were given up count as well. Nothing is removed while somebody is at work on the host.
    """
    fleet = _fleet(project, environment)
    limit = limit or _carriers(fleet)
    with reached(project, environment, limit, accept=accept, quiet=False) as (run, progress):
        found, wrong = _looked(fleet, run)
        progress.pause()
        typer.echo(unused_text(found))
        unused = [host for host in found if host.unused]
        if unused:
            _confirm(yes=yes)
            gone, more = _removed(run, unused)
            typer.echo(removed_text(gone))
            wrong = (*wrong, *more)
    _end(wrong, quiet=False)


def _fleet(project: Path | None, environment: str) -> Fleet:
    return load_fleet(projects.of(project).root, environment)


def _carriers(fleet: Fleet) -> str | None:
    """Hosts that have weights, as `--limit` names them; where there are none, those asked have nothing to tell."""
    return ",".join(fleet.with_role("models")) or None


def _looked(fleet: Fleet, run: Hosts) -> tuple[list[HostWeights], tuple[Finding, ...]]:
    carriers = set(fleet.with_role("models"))
    asked = [job.host for job in run.jobs if job.host in carriers]
    told, unreached = run.ask({host: [look(fleet, host)] for host in asked})
    return [read(fleet, host, told[host][0].stdout) for host in asked if host in told], unreached


def _removed(run: Hosts, unused: Sequence[HostWeights]) -> tuple[list[Kept], tuple[Finding, ...]]:
    """What the hosts have removed, and why they have not removed more."""
    told, wrong = run.ask({host.host: [remove(host)] for host in unused})
    gone: list[Kept] = []
    findings = list(wrong)
    for host in unused:
        for answer in told.get(host.host, ()):
            places = removed(answer.stdout)
            gone += [item for item in host.unused if item.place in places]
            findings += kept_on(host.host, answer.stderr)
    return gone, tuple(findings)


def _confirm(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        what = "nobody is there to confirm the removal"
        raise FindingsError(Finding("weights prune", what, "read the list, then pass `--yes`"))
    if not typer.confirm("Remove these?", default=False, err=True):
        typer.echo("Cancelled. Nothing was removed.", err=True)
        raise typer.Exit(1)


def _end(wrong: Sequence[Finding], *, quiet: bool) -> None:
    if wrong and not quiet:
        typer.echo(findings_text(wrong), err=True)
    if wrong:
        raise typer.Exit(1)
