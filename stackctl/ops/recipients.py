"""The public keys that a project's secrets are encrypted to, one a line, as `age -R` reads them."""

from collections.abc import Collection
from pathlib import Path

import pyrage
from pyrage.x25519 import Recipient

from stackctl.core.finding import Finding, FindingsError
from stackctl.ops import durable

_HEAD = """\
# Whose keys open secrets.age: one age public key a line.
# A key added or taken out here counts from the next `stackctl secrets set` on.
"""


def beside(file: Path) -> Path:
    """The recipients of an encrypted file: `secrets.recipients` of `secrets.age`."""
    return file.with_suffix(".recipients")


def read(path: Path) -> tuple[str, ...]:
    """The public keys in the file; FindingsError names every line that is none, without repeating it."""
    rows = [(number, row.strip()) for number, row in enumerate(_rows(path), 1)]
    keys = [(number, row) for number, row in rows if row and not row.startswith("#")]
    wrong = [_wrong(f"{path}:{number}", row) for number, row in keys if not _is_key(row)]
    if wrong:
        raise FindingsError(*wrong)
    if not keys:
        hint = "restore it from git, or write the public keys of those who are to read the secrets"
        raise FindingsError(Finding(str(path), "lists no key", hint))
    return tuple(dict.fromkeys(row for _, row in keys))


def add(path: Path, key: str) -> bool:
    """Have the key in the file, which is made where it is missing; whether that changed it."""
    if not path.exists():
        return durable.create(path, f"{_HEAD}{key}\n".encode(), mode=0o644)
    rows = _rows(path)
    if key in (row.strip() for row in rows):
        return False
    durable.write(path, "".join(f"{row}\n" for row in (*rows, key)).encode(), mode=0o644)
    return True


def replace(path: Path, old: Collection[str], new: str) -> None:
    """Have `new` where the first of the old keys stands, and no other of them; comments stay."""
    rows = []
    placed = False
    for row in _rows(path):
        if row.strip() not in old:
            rows.append(row)
        elif not placed:
            rows.append(new)
            placed = True
    durable.write(path, "".join(f"{row}\n" for row in rows).encode(), mode=0o644)


def parsed(keys: Collection[str]) -> list[Recipient]:
    """The keys as age takes them."""
    return [Recipient.from_str(key) for key in keys]


def _rows(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        hint = "restore it from git: it lists whom the secrets are encrypted to"
        raise FindingsError(Finding(str(path), "is not there", hint)) from error
    except OSError as error:
        what = f"cannot be read: {(error.strerror or 'unknown error').lower()}"
        raise FindingsError(Finding(str(path), what, "check what it is and its mode")) from error


def _wrong(where: str, row: str) -> Finding:
    if row.upper().startswith("AGE-SECRET-KEY-"):
        hint = (
            "write its public key instead, and run `stackctl secrets rotate-key`: this file is read by many"
        )
        return Finding(where, "is a private key", hint)
    return Finding(
        where, "is not an age public key", "write one of the form `age1...`, or a `#` before a comment"
    )


def _is_key(row: str) -> bool:
    try:
        Recipient.from_str(row)
    except pyrage.RecipientError:
        return False
    return True
