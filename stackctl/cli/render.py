"""`stackctl render`: the files that hosts would get."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.options import AsJson, Environment, ProjectPath
from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.job import Job
from stackctl.render import jobs
from stackctl.schema.wording import similar
from stackctl.views.findings import counted


def render(
    environment: Environment,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help="Only this host.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write files below DIR/HOST instead of printing."),
    ] = None,
    as_json: AsJson = False,
    project: ProjectPath = None,
) -> None:
    """Print the files that hosts would get, without touching any host."""
    found = projects.of(project)
    fleet = load_fleet(found.root, environment)
    if host is not None and host not in fleet.hosts:
        what = f"`{host}` is not a host of {environment}"
        raise FindingsError(Finding("--host", what, similar(host, fleet.hosts)))
    chosen = jobs(fleet, found, None if host is None else (host,))
    if out is not None:
        _write(chosen, out)
    elif as_json:
        typer.echo(json.dumps({"format": 1, "hosts": {job.host: _values(job) for job in chosen}}, indent=2))
    else:
        for job in chosen:
            for part in job.parts:
                for artifact in part.files:
                    typer.echo(_headed(job.host, artifact))


def _headed(host: str, artifact: Artifact) -> str:
    owner = f"{artifact.owner}:{artifact.group} {artifact.mode:o}"
    return f"==> {host}:{artifact.path} ({owner})\n{artifact.content}"


def _values(job: Job) -> list[dict[str, object]]:
    return [
        {
            "capability": part.capability,
            **asdict(artifact),
            "mode": f"{artifact.mode:o}",
            # Where the project lies on this machine is no part of what hosts get.
            "secrets": [{"scheme": ref.scheme, "target": ref.target} for ref in artifact.secrets],
        }
        for part in job.parts
        for artifact in part.files
    ]


def _write(chosen: Sequence[Job], out: Path) -> None:
    count = 0
    try:
        for job in chosen:
            for artifact in (artifact for part in job.parts for artifact in part.files):
                path = out / job.host / artifact.path.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(artifact.content, encoding="utf-8")
                count += 1
    except OSError as error:
        hint = "choose a directory that you may write to"
        raise FindingsError(
            Finding(str(error.filename or out), f"cannot be written: {error.strerror}", hint)
        ) from error
    typer.echo(f"{counted(count, 'file')} of {counted(len(chosen), 'host')} are in {out}", err=True)
