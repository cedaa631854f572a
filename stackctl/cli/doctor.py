"""`stackctl doctor`: does a host do what is declared, rung by rung."""

from pathlib import Path
from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.options import AcceptKeys, AsJson, ProjectPath
from stackctl.cli.reach import reached
from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.load import environments
from stackctl.views.doctor import doctor_json, doctor_text
from stackctl.views.findings import findings_text


def doctor(
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="A host of any environment.", show_default=False)
    ],
    gpu: Annotated[bool, typer.Option("--gpu", help="Only the GPUs and their driver.")] = False,
    environment: Annotated[
        str | None, typer.Option("--environment", metavar="ENV", help="Where more than one has the host.")
    ] = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Look whether a host and its GPUs do what is declared.

    It tells what to do where they do not. It reads: containers that it starts on GPUs are gone when they end. Exits 1 when a rung failed.
    """
    where = environment or _environment_of(projects.of(project).root, host)
    with reached(project, where, host, "HOST", accept=accept, quiet=as_json) as (run, progress):
        told, findings = run.examine(gpu)
        progress.pause()
    if findings:
        typer.echo(findings_text(findings), err=True)
        raise typer.Exit(1)
    rungs = told[host]
    if not rungs:
        typer.echo(f"{host} has no GPU declared, and no driver." if not as_json else doctor_json(host, ()))
        return
    typer.echo(doctor_json(host, rungs) if as_json else doctor_text(host, rungs))
    if any(rung.state == "failed" for rung in rungs):
        raise typer.Exit(1)


def _environment_of(root: Path, host: str) -> str:
    """The one environment that has the host; one with mistakes in it is told of only where it may be meant."""
    having: list[str] = []
    broken: list[Finding] = []
    for name in environments(root):
        try:
            if host in load_fleet(root, name).hosts:
                having.append(name)
        except FindingsError as error:
            broken += error.findings
    if len(having) == 1:
        return having[0]
    if having:
        hint = f"name one with `--environment`: {', '.join(having)}"
        raise FindingsError(Finding("HOST", f"`{host}` is in {len(having)} environments", hint))
    if broken:
        raise FindingsError(*broken)
    raise FindingsError(Finding("HOST", f"no environment has a host `{host}`", "see the files of inventory/"))
