"""Secret references become values here, in memory only, when a file with one is compared or written."""

import functools
import os
import shlex
import subprocess
import threading
from pathlib import Path

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.secret import SecretRef

_COMMAND_SECONDS = 30
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
    read = {"env": _from_environment, "file": _from_file, "command": _from_command}[ref.scheme]
    try:
        text = read(ref).rstrip("\r\n")
    except FindingsError as error:
        return error
    if not text:
        return _unavailable(ref, "it is empty", "give it a value")
    _known.add(text)
    return text


def mask(text: str) -> str:
    """`text` with every secret this process has resolved blanked out."""
    for secret in sorted(_known, key=len, reverse=True):
        if len(secret) >= _SHORTEST_MASKED:
            text = text.replace(secret, "***")
    return text


def reveal(artifact: Artifact) -> bytes:
    """The artifact's exact bytes, secrets filled in."""
    content = artifact.content
    for ref in artifact.secrets:
        text = value(ref)
        # Formats quote in different ways, and none of ours needs these characters in a secret.
        if any(character in text for character in "'\"\\\n"):
            raise _unavailable(ref, "it holds a quote, a backslash or a line break", "use a value without")
        content = content.replace(ref.placeholder, text)
    return content.encode()


def _from_environment(ref: SecretRef) -> str:
    found = os.environ.get(ref.target)
    if found is None:
        raise _unavailable(ref, "the variable is not set", f"export {ref.target} and run again")
    return found


def _from_file(ref: SecretRef) -> str:
    try:
        return Path(ref.target).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unavailable(ref, str(error), "check the path and its mode") from error


def _from_command(ref: SecretRef) -> str:
    try:
        done = subprocess.run(
            shlex.split(ref.target),
            capture_output=True,
            text=True,
            check=True,
            timeout=_COMMAND_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.CalledProcessError as error:
        # Its output is not repeated: a tool that fails half-way may have printed the secret.
        raise _unavailable(ref, f"it exited {error.returncode}", "run it by hand to see why") from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise _unavailable(ref, str(error), "run it by hand to see why") from error
    return done.stdout


def _unavailable(ref: SecretRef, why: str, hint: str) -> FindingsError:
    return FindingsError(Finding(f"secret {ref.scheme}:{ref.target}", f"cannot be read: {why}", hint))
