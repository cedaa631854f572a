"""The project's secrets in one age-encrypted file: opened with the operator's identity, sealed for all readers."""

import functools
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyrage
from pyrage.x25519 import Identity

from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.core.secret import NAME, is_pem, unfit
from stackctl.ops import durable, identity, recipients

_LARGEST = 4 * 1024 * 1024


@dataclass(frozen=True)
class Secrets:
    """The decrypted file; values stay out of its `repr`."""

    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Rotated:
    """What a rotation has left behind."""

    key: str
    """The new public key."""
    identity: Path
    """The identity file, which holds the new private key."""
    earlier: Path
    """The identity file as it was."""
    readers: int
    """Keys that the secrets are now encrypted to."""


def _untold(path: Path) -> None:
    """Nobody asked."""


def opened(file: Path) -> Secrets:
    """The file as this process decrypts it, once; FindingsError says why it cannot."""
    found = _opened(file)
    if isinstance(found, FindingsError):
        raise found
    return found


@functools.cache
def _opened(file: Path) -> Secrets | FindingsError:
    try:
        return read(file)
    except FindingsError as error:
        return error


def read(file: Path) -> Secrets:
    """Decrypt the file with the operator's identity."""
    data = _content(file)  # no identity is asked for where there is nothing to open
    path = identity.place()
    return _decrypted(file, data, identity.read(path), path)


def put(file: Path, name: str, value: str, made: Callable[[Path], object] = _untold) -> None:
    """Set one secret; `made` is told of the identity and of the recipients file as soon as a first use made them.

    The file is encrypted anew to all that the recipients file lists. FindingsError for a value that no file of
    ours could hold, and where the operator could not read it afterwards.
    """
    _require_fit(name, value)
    path = identity.place()
    if not file.exists() and identity.make(path):
        made(path)
    with durable.alone(file.parent):
        own = identity.read(path)
        listed = recipients.beside(file)
        if not file.exists() and recipients.add(listed, identity.public(own[0])):
            made(listed)
        values = _decrypted(file, _content(file), own, path).values if file.exists() else {}
        readers = recipients.read(listed)
        _require_reader(file, own, readers)
        durable.write(file, _sealed({**values, name: value}, readers), mode=0o644)


def rotate(file: Path) -> Rotated:
    """Encrypt to one new key of the operator's in place of all that were listed, and keep the old file beside.

    The identity file holds both keys until the file has been read back with the new one, so that wherever this
    is stopped the secrets can be read, and set, and the rotation run again.
    """
    read(file)  # what stands in the way is told before anything is locked
    path = identity.place()
    with durable.alone(file.parent, path.parent):
        before = identity.read(path)
        values = _decrypted(file, _content(file), before, path).values
        listed = recipients.read(recipients.beside(file))
        _require_reader(file, before, listed)
        old = {identity.public(each) for each in before} & set(listed)
        new = Identity.generate()
        key = identity.public(new)
        earlier = identity.keep(path)
        durable.write(path, identity.text([new, *before]), mode=0o600)
        readers = [key, *(each for each in listed if each not in old)]
        durable.write(file, _sealed(values, readers), mode=0o644)
        recipients.replace(recipients.beside(file), old, key)
        if _decrypted(file, _content(file), [new], path).values != values:
            hint = f"nothing is lost: {path} holds both keys; look at the disk and run this again"
            raise FailureError(Finding(str(file), "does not hold what was written", hint))
        # Keys that open other projects stay.
        others = [each for each in before if identity.public(each) not in old]
        durable.write(path, identity.text([new, *others]), mode=0o600)
    return Rotated(key, path, earlier, len(readers))


def _require_fit(name: str, value: str) -> None:
    """Refuse at once what could not be written to a host later."""
    if not value:
        raise FindingsError(Finding(f"age:{name}", "cannot be set: it is empty", "give it a value"))
    why = None if is_pem(value) else unfit(value)
    if why is not None:
        raise FindingsError(Finding(f"age:{name}", f"cannot be set: {why}", "use a value without"))


def _require_reader(file: Path, own: Sequence[Identity], readers: Collection[str]) -> None:
    """Refuse to write what the operator could not read."""
    keys = [identity.public(each) for each in own]
    if not set(keys) & set(readers):
        where = str(recipients.beside(file))
        raise FindingsError(Finding(where, "does not list a key of yours", f"add `{keys[0]}` to it"))


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_LARGEST)
    except FileNotFoundError as error:
        hint = "make it with `stackctl secrets set NAME`, or restore it from git"
        raise FindingsError(Finding(str(file), "is not there", hint)) from error
    except OSError as error:
        what = f"cannot be read: {(error.strerror or 'unknown error').lower()}"
        raise FindingsError(Finding(str(file), what, "check what it is and its mode")) from error


def _sealed(values: Mapping[str, str], readers: Collection[str]) -> bytes:
    """Armoured, because it lives in git."""
    plain = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return pyrage.encrypt(plain.encode(), recipients.parsed(readers), armored=True)


def _decrypted(file: Path, data: bytes, own: Sequence[Identity], path: Path) -> Secrets:
    try:
        plain = pyrage.decrypt(data, own)
    except pyrage.DecryptError as error:
        what = f"cannot be decrypted with {path}: {str(error).lower()}"
        raise FindingsError(Finding(str(file), what, _way_in(file, own, path))) from error
    values = _mapping(plain)
    if values is None:
        hint = "decrypt it with `age -d`, and encrypt one JSON object of names and texts with `age -a -R`"
        raise FindingsError(Finding(str(file), "holds something else than secrets by name", hint))
    return Secrets(values)


def _mapping(plain: bytes) -> dict[str, str] | None:
    """None for anything else: an exception of the parser would carry the text with it."""
    try:
        found = json.loads(plain)
    except (ValueError, RecursionError):
        return None
    right = isinstance(found, dict) and all(
        re.fullmatch(NAME, name) and isinstance(value, str) for name, value in found.items()
    )
    return found if right else None


def _way_in(file: Path, own: Sequence[Identity], path: Path) -> str:
    keys = [identity.public(each) for each in own]
    listed = recipients.beside(file)
    kept = identity.earlier(path)
    again = f"; an earlier key of yours is in {kept[0]}, for `{identity.VARIABLE}`" if kept else ""
    try:
        known = set(keys) & set(recipients.read(listed))
    except FindingsError:
        known = set()
    if known:
        return f"restore it from git; where your key was listed since, let someone listed before set a secret{again}"
    return f"let someone whom {listed.name} lists add `{keys[0]}` to it and set a secret{again}"
