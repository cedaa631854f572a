"""`stackctl diff`: what a change of the inventory does, for who reviews it."""

from dataclasses import replace
from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.options import AsJson, Environment, ProjectPath
from stackctl.core.finding import Finding, FindingsError
from stackctl.plan.review import Side, review
from stackctl.project import Project
from stackctl.render import jobs
from stackctl.revision import at_revision
from stackctl.schema.load import environments
from stackctl.views.comment import review_comment
from stackctl.views.review import review_json, review_text

_HERE = "working tree"


def diff(
    environment: Environment,
    against: Annotated[
        str, typer.Option("--against", metavar="REF", help="Git revision to compare with.")
    ] = "HEAD",
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown for a pull request's comment.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 3 when there are differences.")
    ] = False,
    project: ProjectPath = None,
) -> None:
    """Show what changes on hosts since a git revision, without touching any host."""
    if as_json and markdown:
        raise FindingsError(Finding("diff", "`--json` and `--markdown` are both given", "choose one of them"))
    found = projects.of(project)
    with at_revision(found, against) as then:
        before, after = _sides(environment, then, found, against)
    reviewed = review(environment, before, after)
    view = review_json if as_json else review_comment if markdown else review_text
    typer.echo(view(reviewed))
    if exit_code and reviewed.differs:
        raise typer.Exit(3)


def _sides(environment: str, then: Project, now: Project, against: str) -> tuple[Side, Side]:
    """Both renderings; FindingsError has all that is wrong with either."""
    findings: list[Finding] = []
    before, after = Side(against), Side(_HERE)
    try:
        if _has(then, environment):
            before = _side(environment, then, against)
    except FindingsError as error:
        findings += [replace(item, where=f"{against}:{item.where}") for item in error.findings]
    try:
        # Only what was there can have been taken away; any other name is mistyped.
        if before.fleet is None or _has(now, environment):
            after = _side(environment, now, _HERE)
    except FindingsError as error:
        findings += error.findings
    if findings:
        raise FindingsError(*findings)
    return before, after


def _has(project: Project, environment: str) -> bool:
    folder = project.root / "inventory"
    # A link that leads out of what the revision holds must not look like an inventory that was not there.
    return (folder.is_dir() or folder.is_symlink()) and environment in environments(project.root)


def _side(environment: str, project: Project, name: str) -> Side:
    fleet = load_fleet(project.root, environment)
    return Side(name, fleet, jobs(fleet, project), project.own_deploys())
