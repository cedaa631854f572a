"""`stackctl wan …`: a host's uplinks, and which one is used."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.options import AcceptKeys, AsJson, Environment, ProjectPath
from stackctl.cli.reach import reached
from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.doctor import uplinks
from stackctl.doctor.uplinks import Uplinks
from stackctl.schema.fleet import Fleet
from stackctl.schema.wan import Uplink, Wan
from stackctl.schema.wording import similar
from stackctl.views.findings import findings_text
from stackctl.views.wan import probe_text, uplinks_json, uplinks_text

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}

Host = Annotated[str, typer.Argument(metavar="HOST", help="A host with uplinks.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="UPLINK", help="As the inventory calls it.", show_default=False)]

wan = typer.Typer(no_args_is_help=True, help="Look at a host's uplinks, and choose one.")


@wan.command()
def status(
    environment: Environment,
    host: Annotated[
        str | None, typer.Argument(metavar="[HOST]", help="Only this host.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Show the uplinks of hosts: which works, how well, and which is used. Exits 1 when something is wrong."""
    hosts = [host] if host is not None else _with_uplinks(project, environment)
    _tell(project, environment, hosts, ("status",), accept=accept, as_json=as_json)


@wan.command()
def switch(
    environment: Environment,
    host: Host,
    uplink: Name,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="`90s`, `10m` or `2h`; then it is released.")
    ] = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Have a host use one uplink, until it is released or fails.

    Connections that are open stay where they are, so that the other uplink can be worked on once they have ended.
    """
    limit = () if duration is None else ("--for", str(_seconds(duration)))
    words = ("switch", _known(project, environment, host, uplink), *limit)
    _tell(project, environment, [host], words, accept=accept, as_json=as_json)


@wan.command()
def release(
    environment: Environment,
    host: Host,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Let the agent choose again; the preferred uplink that works is used at once."""
    _tell(project, environment, [host], ("release",), accept=accept, as_json=as_json)


@wan.command()
def pause(
    environment: Environment,
    host: Host,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Have the agent leave everything as it is, whatever fails."""
    _tell(project, environment, [host], ("pause",), accept=accept, as_json=as_json)


@wan.command()
def resume(
    environment: Environment,
    host: Host,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Have the agent go on after a pause."""
    _tell(project, environment, [host], ("resume",), accept=accept, as_json=as_json)


@wan.command(name="test")
def probe(
    environment: Environment,
    host: Host,
    uplink: Name,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Ask all targets once through one uplink. Exits 1 where too few answer."""
    words = ("test", _known(project, environment, host, uplink))
    asked, findings = _asked(project, environment, [host], words, accept=accept, quiet=as_json)
    if host not in asked:
        raise FailureError(*findings)
    status, out, err = asked[host]
    try:
        told = json.loads(out)
    except ValueError:
        raise FailureError(uplinks.unanswered(host, environment, status, err)) from None
    typer.echo(
        json.dumps({"format": 1, "host": host, **told}, indent=2) if as_json else probe_text(host, told)
    )
    if not told["good"]:
        raise typer.Exit(1)


def _tell(
    project: Path | None,
    environment: str,
    hosts: Sequence[str],
    words: Sequence[str],
    *,
    accept: bool,
    as_json: bool,
) -> None:
    """Have the agents do something, and show what they say after it."""
    asked, unreached = _asked(project, environment, hosts, words, accept=accept, quiet=as_json)
    seen: dict[str, Uplinks] = {}
    wrong = list(unreached)
    for host, (status, out, err) in asked.items():
        found = uplinks.read(out)
        if found is None:
            wrong.append(uplinks.unanswered(host, environment, status, err))
            continue
        seen[host] = found
        wrong += uplinks.troubles(host, environment, found) if words[0] == "status" else ()
    if as_json:
        typer.echo(uplinks_json(seen, wrong))
    else:
        _show(seen, wrong)
    if wrong:
        raise typer.Exit(1)


def _show(seen: Mapping[str, Uplinks], wrong: Sequence[Finding]) -> None:
    if seen:
        typer.echo(uplinks_text(seen))
    if wrong:
        typer.echo(findings_text(wrong), err=True)


def _asked(
    project: Path | None,
    environment: str,
    hosts: Sequence[str],
    words: Sequence[str],
    *,
    accept: bool,
    quiet: bool,
) -> tuple[dict[str, tuple[int, str, str]], tuple[Finding, ...]]:
    """Exit status and output of the agent's own command on each host, and why there is none of the others."""
    for host in hosts:
        _managed(project, environment, host)
    with reached(project, environment, ",".join(hosts), "HOST", accept=accept, quiet=quiet) as (run, _):
        told, findings = run.ask({host: [uplinks.order(*words)] for host in hosts})
    return {host: (one.status, one.stdout, one.stderr) for host, (one,) in sorted(told.items())}, findings


def _managed(project: Path | None, environment: str, host: str) -> Wan:
    """What is written of a host's uplinks; a host without any is a finding."""
    fleet = load_fleet(projects.of(project).root, environment)
    if host not in fleet.hosts:
        hint = similar(host, fleet.hosts)
        raise FindingsError(Finding("HOST", f"`{host}` is not a host of {environment}", hint))
    found = fleet.hosts[host].wan
    if found is None or not found.uplinks:
        having = ", ".join(name for name in sorted(fleet.hosts) if _uplinks(fleet, name))
        hint = f"hosts with uplinks: {having}" if having else f"write them under `hosts.{host}.wan.uplinks`"
        raise FindingsError(Finding("HOST", f"no uplinks of `{host}` are written in {environment}", hint))
    return found


def _uplinks(fleet: Fleet, host: str) -> tuple[Uplink, ...]:
    found = fleet.hosts[host].wan
    return () if found is None else found.uplinks


def _with_uplinks(project: Path | None, environment: str) -> list[str]:
    fleet = load_fleet(projects.of(project).root, environment)
    hosts = [name for name in sorted(fleet.hosts) if _uplinks(fleet, name)]
    if not hosts:
        what = f"no host of {environment} has uplinks"
        raise FindingsError(Finding("ENV", what, "write them under `hosts.NAME.wan.uplinks`"))
    return hosts


def _known(project: Path | None, environment: str, host: str, uplink: str) -> str:
    names = [item.name for item in _managed(project, environment, host).uplinks]
    if uplink not in names:
        what = f"`{uplink}` is not an uplink of {host}"
        raise FindingsError(Finding("UPLINK", what, similar(uplink, names)))
    return uplink


def _seconds(duration: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})(s|m|min|h)?", duration)
    if found is None:
        raise FindingsError(
            Finding("--for", f"`{duration}` is no time", "write such as `90s`, `10m` or `2h`")
        )
    return int(found[1]) * _UNITS[found[2] or ""]
