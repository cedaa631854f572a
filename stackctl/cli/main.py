"""The program: finds the command, runs it, and turns whatever happens into lines and an exit code.

A command is one module, imported only when it is the one asked for, so that `--help` and `validate` are quick.
"""

import atexit
import errno
import gc
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, NoReturn

import typer

from stackctl import __version__
from stackctl.core.finding import Finding, FindingsError
from stackctl.views.findings import findings_json, findings_text, findings_totals


class Command(NamedTuple):
    """Where a command is, and its line in `stackctl --help`."""

    module: str
    help: str


COMMANDS = {
    "validate": Command("validate", "Check inventories, without touching any host."),
    "lock": Command("lock", "Record what images and model repositories are exactly, for review."),
    "render": Command("render", "Print the files that hosts would get, without touching any host."),
    "diff": Command("diff", "Show what changes on hosts since a git revision, without touching any host."),
    "plan": Command("plan", "Show what an apply would change on each host, and why."),
    "apply": Command("apply", "Bring the hosts to what the inventory says."),
    "drift": Command("drift", "Show what changed on the hosts since the last apply."),
    "history": Command("history", "Show the runs that hosts have a record of."),
    "status": Command("status", "Show how hosts are, at a glance."),
    "doctor": Command("doctor", "Look whether a host and its GPUs do what is declared."),
    "wan": Command("wan", "Look at a host's uplinks, and choose one."),
    "weights": Command("weights", "Look at the weights that hosts keep, and remove unused ones."),
    "ask": Command("ask", "Send one chat message to a model through the gateway."),
    "firewall": Command("firewall", "Tell who may reach what on a host, and why."),
    "secrets": Command("secrets", "Keep secrets encrypted beside the inventory."),
    "schema": Command("schema", "Print the JSON Schema of inventory files, for editors."),
    "lab": Command("lab", "Virtual hosts on this machine, for trying and testing."),
}
"""In the order of `--help`; a module's function or sub-application has the command's name."""

_ALLOCATIONS = 100_000
"""Objects made between two searches for garbage, of which there is little; Python's own 700 suits no program."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """The program's entry point."""
    # Modules are hardly ever garbage: going through them while they load and once more at the end takes a
    # sixth of a short run.
    gc.set_threshold(_ALLOCATIONS)
    atexit.register(gc.freeze)
    words, debug = _without_debug(sys.argv[1:] if arguments is None else arguments)
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s")
    try:
        application(words)(words, prog_name="stackctl")
    except FindingsError as error:
        if "--json" in words:
            typer.echo(findings_json(error.findings))
        else:
            _show(error.findings, debug=debug)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            _fault(error, debug=debug)
        what = f"cannot be written: {os.strerror(error.errno).lower()}"
        _show((Finding("standard output", what, "make room where it goes"),), debug=debug)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the edge of the program: no traceback reaches a user
        _fault(error, debug=debug)
    sys.exit(0)


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The command line, with the real thing in place of the one command that `words` ask for."""
    asked = next((word for word in words if not word.startswith("-")), None)
    application = typer.Typer(
        name="stackctl",
        help="From your own bare-metal hosts to models behind stable internal HTTP APIs.",
        no_args_is_help=True,
        add_completion=False,
        # Rich takes as long to import as all the rest, and tracebacks are not for users.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    application.callback()(_program)
    for name, command in COMMANDS.items():
        found = _loaded(command, name) if name == asked else _later
        if isinstance(found, typer.Typer):
            application.add_typer(found, name=name, help=command.help)
        else:
            application.command(name, help=command.help if found is _later else None)(found)
    return application


def _loaded(command: Command, name: str) -> Any:
    return getattr(importlib.import_module(f"stackctl.cli.{command.module}"), name)


def _later() -> None:
    """Stands for a command that was not asked for."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log what happens and show tracebacks.")] = False,
) -> None:
    del version, debug  # both have had their effect before


def _without_debug(words: Sequence[str]) -> tuple[list[str], bool]:
    """Accept `--debug` after the command as well; what follows `--` belongs to others."""
    end = list(words).index("--") if "--" in words else len(words)
    ours = [word for word in words[:end] if word != "--debug"]
    return [*ours, *words[end:]], len(ours) < end


def _fault(error: Exception, *, debug: bool) -> NoReturn:
    what = f"a fault of stackctl's own: {type(error).__name__}: {error}"
    hint = "run again with `--debug` and report what it shows"
    _show((Finding("stackctl", what, None if debug else hint),), debug=debug)
    sys.exit(1)


def _show(findings: Sequence[Finding], *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(findings_text(findings), err=True)
    if len(findings) > 1:
        typer.echo(findings_totals(findings), err=True)
