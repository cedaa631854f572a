"""The operator's age identity: the private keys that open a project's secrets, in age-keygen's format."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyrage
from pyrage.x25519 import Identity

from stackctl.core.finding import Finding, FindingsError
from stackctl.ops import durable

VARIABLE = "STACKCTL_AGE_IDENTITY"
"""Environment variable that names the file."""
DEFAULT = "~/.config/stackctl/age.key"
"""The file where the variable names none."""

_LARGEST = 64 * 1024


def place() -> Path:
    """The identity file, whether it is there or not; behind a link, the file that is written in place."""
    path = Path(os.environ.get(VARIABLE) or DEFAULT).expanduser()
    return path.resolve() if path.is_file() else path  # a pipe has no name to resolve to


def read(path: Path) -> tuple[Identity, ...]:
    """The keys of an identity file, in its order; FindingsError when it cannot be used, or others can read it."""
    rows = [row.strip() for row in _content(path).decode(errors="replace").splitlines()]
    keys = [(number, row) for number, row in enumerate(rows, 1) if row and not row.startswith("#")]
    if not keys:
        raise FindingsError(Finding(str(path), "holds no key", "restore your key from its backup"))
    found = [(number, _parsed(row)) for number, row in keys]
    wrong = [number for number, key in found if key is None]
    if wrong:  # and what stands there is not repeated
        hint = "have keys of the form `AGE-SECRET-KEY-1...` and comments alone in it, as `age-keygen` writes them"
        raise FindingsError(
            *(Finding(f"{path}:{number}", "is not an age identity", hint) for number in wrong)
        )
    return tuple(key for _, key in found if key is not None)


def make(path: Path) -> bool:
    """Make a new identity where there is no file; False where there is one."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        what = f"cannot be made: {(error.strerror or 'unknown error').lower()}"
        raise FindingsError(
            Finding(str(path.parent), what, f"name another file with `{VARIABLE}`")
        ) from error
    with durable.alone(path.parent):
        return durable.create(path, text([Identity.generate()]), mode=0o600)


def text(identities: Iterable[Identity]) -> bytes:
    """An identity file with these keys."""
    return "".join(f"# public key: {public(each)}\n{each}\n" for each in identities).encode()


def public(identity: Identity) -> str:
    """The public half, `age1...`."""
    return str(identity.to_public())


def earlier(path: Path) -> Sequence[Path]:
    """Copies of the file that rotations have kept beside it, the latest first."""
    named = [(file.name.removeprefix(f"{path.name}."), file) for file in path.parent.glob(f"{path.name}.*")]
    return [file for _, file in sorted(((int(n), file) for n, file in named if n.isdecimal()), reverse=True)]


def keep(path: Path) -> Path:
    """Copy the file to the first number that is free beside it."""
    content = _content(path)
    number = 1
    while not durable.create(kept := path.with_name(f"{path.name}.{number}"), content, mode=0o600):
        number += 1
    return kept


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            content = file.read(_LARGEST)
    except FileNotFoundError as error:
        raise _absent(path) from error
    except OSError as error:
        what = f"cannot be read: {(error.strerror or 'unknown error').lower()}"
        raise FindingsError(Finding(str(path), what, "check what it is and its mode")) from error
    if mode & 0o077:
        what = f"is open to others than its owner, mode {mode:o}"
        raise FindingsError(Finding(str(path), what, f"run `chmod 600 {path}`"))
    return content


def _absent(path: Path) -> FindingsError:
    if os.environ.get(VARIABLE):
        what = f"is not there, and `{VARIABLE}` names it"
        hint = f"restore your key there, or unset the variable to use {DEFAULT}"
    else:
        what = f"is not there, and `{VARIABLE}` names no other identity"
        hint = (
            f"restore your key there, or name its file with `{VARIABLE}`; without one, run"
            f" `age-keygen -o {path}` and let a reader of the secrets add its public key"
        )
    return FindingsError(Finding(str(path), what, hint))


def _parsed(row: str) -> Identity | None:
    try:
        return Identity.from_str(row)
    except pyrage.IdentityError:
        return None
