"""Several commands as one script on one shell's standard input, and its output taken apart again."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

TIMED_OUT = 124
"""Exit status of coreutils' `timeout` when it had to end the command."""

LEFT_OUT = 121
"""Exit status of a command that was left out because an earlier one of its batch failed."""

HEAD = (
    "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root\n"
    "export STACKCTL_STATE=/var/lib/stackctl STACKCTL_RUN=/run/stackctl STACKCTL_UNITS=/etc/systemd/system\n"
    "umask 022; cd /\n"
    "p=$PPID; while [ $p -gt 1 ] && read -r c </proc/$p/comm && case $c in (sshd*) false;; esac; do\n"
    "  while read -r k v; do if [ $k = PPid: ]; then p=$v; break; fi; done </proc/$p/status\n"
    "done; export STACKCTL_SESSION=$p\n"
)
"""Sent once at the start of a shell, so that nothing of the login's own environment matters.

`$STACKCTL_SESSION` is the process that ends with the connection: a step that only waits may end with it.
"""


@dataclass(frozen=True)
class Command:
    """A shell script and how many seconds it may take. It travels on standard input, never as an argument.

    A command finds the status of the first that failed before it in its batch, or 0, as `$STACKCTL_FAILED`.
    """

    script: str
    seconds: int
    after_success: bool = False
    """Left out where an earlier command of the batch has failed."""
    own_shell: bool = False
    """Runs in the session's shell itself, so that files it opens stay open; it must neither exit nor read."""


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
    parts = ["export STACKCTL_FAILED=0\n"]
    for command in commands:
        run = _own_shell(command) if command.own_shell else _child(command, mark)
        if command.after_success:
            run = f'if [ "$STACKCTL_FAILED" = 0 ]; then\n{run}else r={LEFT_OUT}; fi\n'
        parts.append(
            f'{run}[ "$r" = 0 ] || [ "$STACKCTL_FAILED" != 0 ] || STACKCTL_FAILED=$r\n'
            f"printf '\\n%s %s\\n' {mark} $r; printf '\\n%s\\n' {mark} >&2\n"
        )
    return "".join(parts).encode()


def _child(command: Command, mark: str) -> str:
    # Descriptor 9 is the host's lock: a daemon that a step leaves behind must not keep it.
    limited = f"timeout -k 5 {command.seconds} sh /dev/fd/3 3<<'{mark}' </dev/null 9>&-"
    return f"{limited}\n{_whole_lines(command)}{mark}\nr=$?\n"


def _own_shell(command: Command) -> str:
    return f"{_whole_lines(command)}r=$?\n"


def _whole_lines(command: Command) -> str:
    return command.script if command.script.endswith("\n") else f"{command.script}\n"


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
