"""`stackctl secrets …`: the secrets that `age:` references name."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stackctl import project as projects
from stackctl.cli.options import AsJson, ProjectPath
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.secret import NAME, SecretRef
from stackctl.ops import age, identity
from stackctl.schema.load import environments, in_order, load
from stackctl.schema.references import references
from stackctl.schema.source import dotted
from stackctl.schema.wording import similar
from stackctl.views.findings import counted, findings_json, findings_text

_LONGEST = 64 * 1024
_ROTATED = """\
your identity is {done.identity}: back it up; as it was before, it is kept in {done.earlier}
until you delete it
commit {file.name} and {file.stem}.recipients together
what git has of the file from before stays readable with the key before: where that key leaked,
change the values too, with `stackctl secrets set NAME`
other projects that use the key before: add the new one to their {file.stem}.recipients, and set a secret
there with STACKCTL_AGE_IDENTITY={done.earlier}"""

secrets = typer.Typer(no_args_is_help=True, help="Keep secrets encrypted beside the inventory.")


@secrets.command(name="set", context_settings={"allow_extra_args": True})
def set_secret(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="What `age:NAME` in an inventory refers to.", show_default=False),
    ],
    project: ProjectPath = None,
) -> None:
    """Set a secret, from standard input or a prompt.

    The first one also makes your key. The file is encrypted to all whom inventory/secrets.recipients lists.
    """
    found = projects.of(project)
    if context.args:  # the usual error would repeat the value
        hint = "give it on standard input, and replace it: the shell's history may hold it now"
        raise FindingsError(
            Finding("secrets set", "more than a name is given; values are not arguments", hint)
        )
    if re.fullmatch(NAME, name) is None:
        what = "the name does not fit"
        raise FindingsError(Finding("secrets set", what, "use lower-case letters, digits and hyphens"))
    age.put(found.secrets, name, _value(), _tell)
    typer.echo(f"{name} is set in {found.secrets}")


@secrets.command(name="list")
def list_secrets(as_json: AsJson = False, project: ProjectPath = None) -> None:
    """Show the names of the secrets, and where each is used.

    Values are not shown. A reference that names no secret is an error.
    """
    found = projects.of(project)
    used, findings = _used(found.root)
    names = tuple(sorted(age.read(found.secrets).values)) if found.secrets.exists() else ()
    listed = in_order((*findings, *_unknown(used, names)))
    if as_json:
        entries = [{"name": name, "used": used.get(name, [])} for name in names]
        typer.echo(findings_json(listed, secrets=entries))
    else:
        typer.echo(_text(names, used), nl=bool(names))
        if listed:
            typer.echo(findings_text(listed), err=True)
    if any(item.severity == "error" for item in listed):
        raise typer.Exit(2)


@secrets.command()
def rotate_key(project: ProjectPath = None) -> None:
    """Encrypt the secrets to a new key of yours.

    The key before is kept in a file beside the new one.
    """
    file = projects.of(project).secrets
    done = age.rotate(file)
    typer.echo(f"{file} is encrypted to a new key of yours, {done.key}, {_readers(done.readers)}")
    typer.echo(_ROTATED.format(done=done, file=file), err=True)


def _tell(made: Path) -> None:
    typer.echo(f"made {made}", err=True)
    if made.resolve() == identity.place():
        note = "back up this key where only you can read it: without it the secrets cannot be read again"
        typer.echo(note, err=True)


def _readers(count: int) -> str:
    return "which alone opens it" if count == 1 else f"and to {counted(count - 1, 'other')}"


def _value() -> str:
    """From standard input, or asked for twice where that is a terminal; never from the arguments."""
    if sys.stdin.isatty():
        typed = typer.prompt("Value", hide_input=True, confirmation_prompt=True, err=True)
        content = str(typed).encode(errors="surrogateescape")
    else:
        content = sys.stdin.buffer.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise FindingsError(
            Finding("standard input", f"is longer than {_LONGEST >> 10} KiB", "give the secret alone")
        )
    text = content.decode(errors="replace")
    if text.encode() != content:  # the error of decoding would hold the secret
        raise FindingsError(Finding("standard input", "is not UTF-8 text", "use a value that is"))
    return text.removesuffix("\n").removesuffix("\r")


def _used(root: Path) -> tuple[Mapping[str, Sequence[str]], tuple[Finding, ...]]:
    """Places of `age:` references by the names they refer to, and what is wrong with the inventories."""
    used: dict[str, list[str]] = {}
    findings: list[Finding] = []
    for environment in environments(root):
        try:
            fleet = load(root, environment)
        except FindingsError as error:
            findings += error.findings
            continue
        for key, ref in references(fleet):
            if ref.scheme == "age":
                place = dotted(key).strip("`")
                used.setdefault(ref.target, []).append(f"inventory/{environment}.yaml {place}")
    return used, tuple(findings)


def _unknown(used: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[Finding]:
    found = []
    for name in sorted(set(used) - set(names)):
        near = similar(name, names)
        setting = f"run `stackctl secrets set {name}`"
        hint = f"{near}; or {setting}" if near is not None and near.startswith("did") else setting
        what = f"refers to `{SecretRef('age', name).written}`, which is not a secret of this project"
        found += [Finding(place, what, hint) for place in used[name]]
    return found


def _text(names: Sequence[str], used: Mapping[str, Sequence[str]]) -> str:
    width = max(map(len, names), default=0)
    rows = [
        f"{name if first else '':{width}}  {place}"
        for name in names
        for first, place in (
            (index == 0, place) for index, place in enumerate(used.get(name) or ["not used"])
        )
    ]
    return "\n".join(rows)
