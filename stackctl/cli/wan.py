"""`stackctl wan …`: a host's uplinks, and which one is used."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.options import AcceptKeys, AsJson, HostName, ProjectPath, WhichEnvironment
from stackctl.cli.reach import reached
from stackctl.cli.whose import environment_of
from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.doctor import uplinks
from stackctl.doctor.uplinks import Uplinks
from stackctl.schema.fleet import Fleet
from stackctl.schema.wan import Uplink, Wan
from stackctl.schema.wording import similar
from stackctl.views.findings import findings_text
from stackctl.views.wan import probe_text, uplinks_json, uplinks_text

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}

Name = Annotated[str, typer.Argument(metavar="UPLINK", help="As the inventory calls it.", show_default=False)]

wan = typer.Typer(no_args_is_help=True, help="Look at a host's uplinks, and choose one.")


@wan.command()
def status(
    host: HostName,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Show the uplinks of a host: which works, how well, and which is used. Exits 1 when something is wrong."""
    _tell(project, environment, host, ("status",), accept=accept, as_json=as_json)


@wan.command()
def switch(
    host: HostName,
    uplink: Name,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="`90s`, `10m` or `2h`; then it is released.")
    ] = None,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Have a host use one uplink, until it is released or fails.

    Connections that are open stay where they are, so that the other uplink can be worked on once they have ended.
    """
    where = environment or environment_of(projects.of(project).root, host)
    limit = () if duration is None else ("--for", str(_seconds(duration)))
    words = ("switch", _known(project, where, host, uplink), *limit)
    _tell(project, where, host, words, accept=accept, as_json=as_json)


@wan.command()
def release(
    host: HostName,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Let the agent choose again; the preferred uplink that works is used at once."""
    _tell(project, environment, host, ("release",), accept=accept, as_json=as_json)


@wan.command()
def pause(
    host: HostName,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Have the agent leave everything as it is, whatever fails."""
    _tell(project, environment, host, ("pause",), accept=accept, as_json=as_json)


@wan.command()
def resume(
    host: HostName,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Have the agent go on after a pause."""
    _tell(project, environment, host, ("resume",), accept=accept, as_json=as_json)


@wan.command(name="test")
def probe(
    host: HostName,
    uplink: Name,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Ask all targets once through one uplink. Exits 1 where too few answer."""
    where = environment or environment_of(projects.of(project).root, host)
    words = ("test", _known(project, where, host, uplink))
    asked, findings = _asked(project, where, host, words, accept=accept, quiet=as_json)
    if asked is None:
        raise FailureError(*findings)
    status, out, err = asked
    try:
        told = json.loads(out)
    except ValueError:
        raise FailureError(uplinks.unanswered(host, where, status, err)) from None
    typer.echo(
        json.dumps({"format": 1, "host": host, **told}, indent=2) if as_json else probe_text(host, told)
    )
    if not told["good"]:
        raise typer.Exit(1)


def _tell(
    project: Path | None,
    environment: str | None,
    host: str,
    words: Sequence[str],
    *,
    accept: bool,
    as_json: bool,
) -> None:
    """Have the host's agent do something, and show what it says after it."""
    where = environment or environment_of(projects.of(project).root, host)
    asked, unreached = _asked(project, where, host, words, accept=accept, quiet=as_json)
    wrong = list(unreached)
    found = None
    if asked is not None:
        status, out, err = asked
        found = uplinks.read(out)
        if found is None:
            wrong.append(uplinks.unanswered(host, where, status, err))
        elif words[0] == "status":
            wrong += uplinks.troubles(host, found)
    seen = {host: found} if found is not None else {}
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
    project: Path | None, environment: str, host: str, words: Sequence[str], *, accept: bool, quiet: bool
) -> tuple[tuple[int, str, str] | None, tuple[Finding, ...]]:
    """Exit status and output of the agent's own command on the host, or why there is neither."""
    _managed(project, environment, host)
    with reached(project, environment, host, "HOST", accept=accept, quiet=quiet) as (run, _):
        told, findings = run.ask({host: [uplinks.order(*words)]})
    return next(((one.status, one.stdout, one.stderr) for (one,) in told.values()), None), findings


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
