"""`stackctl doctor`: does a host do what is declared, rung by rung."""

from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.cli.options import AcceptKeys, AsJson, HostName, ProjectPath, WhichEnvironment
from stackctl.cli.reach import reached
from stackctl.cli.whose import environment_of
from stackctl.views.doctor import doctor_json, doctor_text
from stackctl.views.findings import findings_text


def doctor(
    host: HostName,
    gpu: Annotated[bool, typer.Option("--gpu", help="Only the GPUs and their driver.")] = False,
    environment: WhichEnvironment = None,
    as_json: AsJson = False,
    accept: AcceptKeys = False,
    project: ProjectPath = None,
) -> None:
    """Look whether a host and its GPUs do what is declared.

    It tells what to do where they do not. It reads: containers that it starts on GPUs are gone when they end. Exits 1 when a rung failed.
    """
    where = environment or environment_of(projects.of(project).root, host)
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
