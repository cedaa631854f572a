"""Several commands as one script on one shell's standard input, and its output taken apart again."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

TIMED_OUT = 124
"""Exit status of coreutils' `timeout` when it had to end the command."""

HEAD = (
    "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root\n"
    "umask 022; cd /\n"
)
"""Sent once at the start of a shell, so that nothing of the login's own environment matters."""


@dataclass(frozen=True)
class Command:
    """A shell script and how many seconds it may take. It travels on standard input, never as an argument."""

    script: str
    seconds: int


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    status: int
    stdout: str
    stderr: str


def new_mark() -> str:
    """A line that no output contains by chance or by malice: it is drawn after the command was written."""
    return f"stackctl-{secrets.token_hex(12)}"


def framed(commands: Sequence[Command], mark: str) -> bytes:
    """The script for all commands; each runs in its own process group, ended when its time is up.

    The command is read from descriptor 3, so that it neither shows in the process list nor shares
    standard input with the script around it.
    """
    parts = []
    for command in commands:
        script = command.script if command.script.endswith("\n") else command.script + "\n"
        parts.append(
            f"timeout -k 5 {command.seconds} sh /dev/fd/3 3<<'{mark}' </dev/null\n{script}{mark}\n"
            f"r=$?; printf '\\n%s %s\\n' {mark} $r; printf '\\n%s\\n' {mark} >&2\n"
        )
    return "".join(parts).encode()


def complete(stdout: bytes | bytearray, stderr: bytes | bytearray, mark: str, count: int) -> bool:
    """Whether both streams hold the end of all `count` commands."""
    ending = f"\n{mark}".encode()
    ended = stdout.endswith(b"\n") and stderr.endswith(b"\n")
    return ended and stdout.count(ending) >= count and stderr.count(ending) >= count


def answers(stdout: bytes, stderr: bytes, mark: str) -> tuple[Answer, ...]:
    """Take both streams apart, one answer a command."""
    errors = stderr.split(f"\n{mark}\n".encode())
    outputs = stdout.split(f"\n{mark} ".encode())
    found = []
    text = outputs[0]
    for index, following in enumerate(outputs[1:]):
        status, _, rest = following.partition(b"\n")
        found.append(Answer(int(status), _decoded(text), _decoded(errors[index])))
        text = rest
    return tuple(found)


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
