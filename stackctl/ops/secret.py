"""Secret references become values here, in memory only, when a file with one is compared or written."""

import functools
import hashlib
import os
import re
import shlex
import threading
from pathlib import Path

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.secret import SecretRef, guessable, unfit
from stackctl.ops import age
from stackctl.ops.program import SilentError, output
from stackctl.schema.wording import similar

COMMAND_SECONDS = 30
"""Time that the program of a `command:` reference has."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")  # grep ends each with an erased line
_SHORTEST_MASKED = 4  # shorter values would blank out harmless text


def value(ref: SecretRef) -> str:
    """The secret that `ref` points to; FindingsError says which one could not be had and why."""
    with _one_at_a_time:
        found = _read(ref)
    if isinstance(found, FindingsError):
        raise found
    return found


_known: set[str] = set()
_one_at_a_time = (
    threading.Lock()
)  # all hosts ask at once, and a command may want a touch of the operator's key


@functools.cache
def _read(ref: SecretRef) -> str | FindingsError:
    """The value, or why there is none: a command that fails or hangs does so once, not once for every host."""
    read = {"env": _from_environment, "file": _from_file, "age": _from_age, "command": _from_command}
    try:
        text = read[ref.scheme](ref).rstrip("\r\n")
    except FindingsError as error:
        return error
    if not text:
        return _unavailable(ref, "it is empty", "give it a value")
    _known.update((text, *text.splitlines()))
    return text


def mask(text: str) -> str:
    """`text` with every secret this process has resolved blanked out, and no colours: one may begin within a secret."""
    text = _COLOUR.sub("", text)
    for secret in sorted(_known, key=len, reverse=True):
        if len(secret) >= _SHORTEST_MASKED:
            text = text.replace(secret, "***")
    return text


def reveal(artifact: Artifact) -> bytes:
    """The artifact's exact bytes, secrets and hashes of secrets filled in."""
    content = artifact.content
    for ref in artifact.secrets:
        if ref.hash_placeholder in content:
            content = content.replace(ref.hash_placeholder, _hashed(ref))
        if ref.placeholder in content:
            content = content.replace(ref.placeholder, value(ref) if artifact.is_bare else line(ref))
    return content.encode()


def _hashed(ref: SecretRef) -> str:
    text = value(ref)
    why = guessable(text)
    if why is not None:
        raise _unavailable(ref, why, "make one with `openssl rand -hex 24`")
    return hashlib.sha256(text.encode()).hexdigest()


def line(ref: SecretRef) -> str:
    """The secret, where it has to fit into something else; FindingsError says which one does not and why."""
    text = value(ref)
    why = unfit(text)
    if why is not None:
        raise _unavailable(ref, why, "use a value without")
    return text


def _from_environment(ref: SecretRef) -> str:
    found = os.environ.get(ref.target)
    if found is None:
        raise _unavailable(ref, "the variable is not set", f"export {ref.target} and run again")
    return _decoded(ref, os.fsencode(found))


def _from_file(ref: SecretRef) -> str:
    try:
        content = Path(ref.target).expanduser().read_bytes()
    except OSError as error:
        raise _unavailable(ref, str(error), "check the path and its mode") from error
    return _decoded(ref, content)


def _from_age(ref: SecretRef) -> str:
    if ref.beside is None:
        raise _unavailable(ref, "it is not a project's", "name it in a file of `inventory/`")
    file = Path(ref.beside)
    try:
        values = age.opened(file).values
    except FindingsError as error:
        cause = error.findings[0]
        raise _unavailable(ref, f"{cause.where} {cause.what}", cause.hint) from error
    if ref.target not in values:
        setting = f"run `stackctl secrets set {ref.target}`"
        near = similar(ref.target, values)
        hint = setting if near is None else f"{near}; or {setting}"
        raise _unavailable(ref, f"{file} holds no secret `{ref.target}`", hint)
    return values[ref.target]


def _from_command(ref: SecretRef) -> str:
    try:
        printed = output(shlex.split(ref.target), COMMAND_SECONDS)
    except (SilentError, ValueError) as error:
        # Its output is not repeated: a tool that fails half-way may have printed the secret.
        raise _unavailable(ref, str(error), "run it by hand to see why") from error
    return _decoded(ref, printed)


def _decoded(ref: SecretRef, content: bytes) -> str:
    text = content.decode(errors="replace")
    if text.encode() != content:  # the error of decoding would hold the secret
        raise _unavailable(ref, "it is not UTF-8 text", "use a value that is")
    return text


def _unavailable(ref: SecretRef, why: str, hint: str | None) -> FindingsError:
    return FindingsError(Finding(f"secret {ref.written}", f"cannot be read: {why}", hint))
