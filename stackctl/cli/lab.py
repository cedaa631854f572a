"""`stackctl lab …`: virtual hosts on this machine, for trying and testing."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.cli.options import AsJson, ProjectPath
from stackctl.core.finding import Finding, FindingsError
from stackctl.lab import host, kind, lifecycle, login
from stackctl.lab.checks import require_root
from stackctl.lab.images.recipe import used_by
from stackctl.lab.shell import become
from stackctl.lab.spec import EVERYDAY_IMAGES, Kind, LabSpec
from stackctl.lab.status import LabStatus, status
from stackctl.schema.fleet import Fleet
from stackctl.schema.load import load

Lab = Annotated[str, typer.Argument(metavar="[ENV]", help="Name of inventory/ENV.yaml.", show_default="lab")]
LabOption = Annotated[str, typer.Option("--lab", metavar="ENV", help="Which lab, by its environment's name.")]
HostName = Annotated[str, typer.Argument(metavar="HOST", help="A host of the lab.", show_default=False)]

lab = typer.Typer(no_args_is_help=True, help="Virtual hosts on this machine, for trying and testing.")


@lab.command()
def up(
    environment: Lab = "lab",
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="NAME", help="Image to build as well."),
    ] = None,
    vm: Annotated[
        bool, typer.Option("--vm", help="Make the hosts virtual machines, each with a kernel of its own.")
    ] = False,
    project: ProjectPath = None,
) -> None:
    """Bring the lab up, or what of it is not.

    What takes long is made once and kept for the next time. A lab that was made with --vm stays one of virtual
    machines until it is taken down.
    """
    fleet = load(projects.of(project).root, environment)
    spec = lab_of(fleet, tuple(image or ()), "vm" if vm else None)
    lifecycle.up(spec, _progress())
    names = ", ".join(f"{each.name} {each.address}" for each in spec.hosts)
    typer.echo(f"{spec.name} is up: {names}")


@lab.command()
def down(environment: Lab = "lab") -> None:
    """Remove the lab and all it made.

    Its processes, mounts, namespaces and files go; what took long to make is kept.
    """
    require_root()
    typer.echo(f"{environment} is gone" if lifecycle.down(environment) else f"there is no lab {environment}")


@lab.command(name="status")
def show_status(environment: Lab = "lab", as_json: AsJson = False, project: ProjectPath = None) -> None:
    """Show its hosts and what its registry serves."""
    require_root()
    seen = status(lab_of(load(projects.of(project).root, environment)))
    typer.echo(json.dumps({**asdict(seen), "up": seen.up}, indent=2) if as_json else _status_text(seen))


@lab.command()
def ssh(
    name: HostName,
    environment: LabOption = "lab",
    user: Annotated[str, typer.Option("--user", "-l", help="root, ops or opspw.")] = "root",
    project: ProjectPath = None,
) -> None:
    """Log in to a host over SSH, as the operator does."""
    require_root()
    spec = lab_of(load(projects.of(project).root, environment))
    become(login.words(spec, spec.host(name), user))


@lab.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    name: HostName,
    command: Annotated[list[str], typer.Argument(metavar="-- CMD", help="Command and its arguments.")],
    environment: LabOption = "lab",
    project: ProjectPath = None,
) -> None:
    """Run a command on a host as root.

    It goes without the host's network and SSH where the host is a container, and the exit status is the
    command's.
    """
    words = command[1:] if command[0] == "--" else command
    if not words or words[0].startswith("-"):
        what = f"`{words[0]}` stands after the host" if words else "no command is given"
        hint = f"write `stackctl lab exec [OPTIONS] {name} -- CMD`"
        raise FindingsError(Finding("lab exec", what, hint))
    require_root()
    spec = lab_of(load(projects.of(project).root, environment))
    become([*host.entering(spec, spec.host(name)), *words])


@lab.command()
def prune() -> None:
    """Remove what labs keep: bases, packages, images."""
    require_root()
    lifecycle.prune()
    typer.echo("the labs' cache is gone")


def lab_of(fleet: Fleet, images: tuple[str, ...] = (), wanted: Kind | None = None) -> LabSpec:
    """The lab that an environment describes, with the images that its placements use.

    Its hosts are of the kind that is wanted, or else of the kind that they are.
    """
    if fleet.lab is None:
        where = f"inventory/{fleet.environment}.yaml"
        what = f"`{fleet.environment}` is no lab: its hosts are not virtual ones on this machine"
        raise FindingsError(Finding(where, what, "use an environment with a `lab:` section"))
    placed = frozenset(fleet.models[model].image for model in fleet.placements if model in fleet.models)
    return LabSpec.of(
        fleet.environment,
        {name: str(each.address) for name, each in fleet.hosts.items()},
        systems={name: each.os for name, each in fleet.hosts.items()},
        weights={name: each.weights for name, each in fleet.hosts.items()},
        images=(*EVERYDAY_IMAGES, *used_by(placed), *fleet.lab.images, *images),
        kind=wanted or kind.remembered(fleet.environment) or "container",
    )


def _progress() -> Callable[[str], None]:
    begun = time.monotonic()
    return lambda text: typer.echo(f"{time.monotonic() - begun:5.1f} s  {text}", err=True)


def _status_text(seen: LabStatus) -> str:
    width = max(len(each.name) for each in seen.hosts)
    lines = [f"{each.name:{width}}  {each.address:15}  {each.state}" for each in seen.hosts]
    lines += [f"{seen.registry}/{image}" for image in seen.images]
    return "\n".join(lines)
