"""`stackctl validate`: is what was written right?"""

from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet_with_warnings
from stackctl.cli.options import AsJson, ProjectPath
from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.fleet import Fleet
from stackctl.schema.load import environments, in_order
from stackctl.views.findings import counted, findings_json, findings_text, findings_totals


def validate(
    environment: Annotated[
        str | None,
        typer.Argument(metavar="[ENV]", help="Name of inventory/ENV.yaml; default: all.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    project: ProjectPath = None,
) -> None:
    """Check inventories, without touching any host."""
    found = projects.of(project)
    names = environments(found.root) if environment is None else (environment,)
    if not names:
        what = "there are no environments"
        raise FindingsError(Finding(str(found.root / "inventory"), what, "write inventory/NAME.yaml"))
    fleets: dict[str, Fleet] = {}
    findings: set[Finding] = set()  # environments share the catalogue and what is wrong with it
    for name in names:
        try:
            fleets[name], warnings = load_fleet_with_warnings(found.root, name)
            findings |= set(warnings)
        except FindingsError as error:
            findings |= set(error.findings)
    listed = in_order(findings)
    if as_json:
        typer.echo(findings_json(listed, valid=len(fleets) == len(names), environments=list(names)))
    else:
        _print(fleets, listed)
    if len(fleets) < len(names):
        raise typer.Exit(2)


def _print(fleets: dict[str, Fleet], findings: tuple[Finding, ...]) -> None:
    for name, fleet in fleets.items():
        replicas = sum(len(placements) for placements in fleet.placements.values())
        models = sum(bool(placements) for placements in fleet.placements.values())
        counts = (
            counted(len(fleet.hosts), "host"),
            counted(models, "model"),
            counted(replicas, "replica"),
        )
        typer.echo(f"{name} is valid: {', '.join(counts)}")
    if findings:
        typer.echo(f"{findings_text(findings)}\n{findings_totals(findings)}", err=True)
