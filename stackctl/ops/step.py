"""What an operation yields: shell commands that know why they run, batches of files, reboots."""

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.api.command import FileUploadCommand, PyinfraCommand

from stackctl.core.artifact import Artifact
from stackctl.ops import secret
from stackctl.plan.change import Action, FileChange

SECONDS = 120
"""Time limit of a command that names none of its own."""


TOLD = 70
"""Exit status of a script of ours that has found the cause itself and told it first on standard error."""


@dataclass(frozen=True)
class Guard:
    """A change that may cut the operator off: the host takes it back unless a fresh connection says it is well.

    Operations next to each other that are given equal guards are one change.
    """

    name: str
    """A word for people and file names, such as `sshd`."""
    paths: tuple[str, ...]
    """Files as they were are put back, and removed where there was none."""
    restore: tuple[str, ...] = ()
    """Commands that make the restored files count, such as `systemctl reload ssh`; all are run, whatever fails."""


class Step(StringCommand):
    """A shell command with a reason, a time limit and, where one is known, a way out when it fails."""

    def __init__(
        self,
        script: str,
        *,
        reason: str,
        action: Action = "change",
        seconds: int = SECONDS,
        hint: str | None = None,
        known: bool = True,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(script)
        self.reason = reason
        self.action: Action = action
        self.seconds = seconds
        self.hint = hint
        self.known = known
        """False where the host cannot say yet: an earlier operation brings what was asked about."""
        self.guard = guard


REBOOTS = "/run/stackctl/reboot"
"""Folder of the markers of owed reboots: in memory, so that a reboot clears it whatever the clock says."""


class Reboot(PyinfraCommand):
    """Restart the machine, wait for it, and go on; the engine does it, and only where the operator allows it."""

    def __init__(self, reason: str, marker: str) -> None:
        super().__init__()
        self.reason = reason
        self.marker = marker
        """Name of the file below `/run/stackctl/reboot/` that keeps an owed reboot in mind until it happens."""

    def execute(self, state: Any, host: Any, connector_arguments: Any) -> bool:  # noqa: ARG002
        """Under plain pyinfra, as its `@fake` connector is, it is a command like others."""
        succeeded, _ = host.run_shell_command(StringCommand("systemctl reboot"), **connector_arguments)
        return bool(succeeded)

    def __repr__(self) -> str:
        """What is shown where commands are."""
        return "reboot"


@dataclass(frozen=True)
class Check:
    """A program that judges staged files before they replace the old ones."""

    program: tuple[str, ...]
    """Argument vector; an argument equal to a written path becomes the staged file's path."""


class WriteFiles(PyinfraCommand):
    """Files that appear on the host together, each atomically, with final owner and mode."""

    def __init__(
        self,
        artifacts: Sequence[Artifact],
        changes: Sequence[FileChange],
        check: Check | None = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__()
        self.guard = guard
        self.artifacts = tuple(artifacts)
        self.changes = tuple(changes)
        self.check = check

    def script(self) -> str:
        """The shell script that writes them; it may hold secrets and travels on standard input only."""
        staged = {artifact.path: f"$t{index}" for index, artifact in enumerate(self.artifacts)}
        parts = [_HEAD]
        for index, artifact in enumerate(self.artifacts):
            attributes = f"{shlex.quote(f'{artifact.owner}:{artifact.group}')} {artifact.mode:o}"
            parts.append(
                f"stage {shlex.quote(artifact.path)} {attributes} <<'EOF'\n{_encoded(artifact)}EOF\n"
            )
            parts.append(f"t{index}=$t\n")
        if self.check is not None:
            words = [
                f'"{staged[word]}"' if word in staged else shlex.quote(word) for word in self.check.program
            ]
            parts.append(" ".join(words) + " >&2 || exit 66\n")
        parts += [f'mv -fT -- "{staged[item.path]}" {shlex.quote(item.path)}\n' for item in self.artifacts]
        parts.append("sync -- $dirs\n")
        return "".join(parts)

    def execute(self, state: Any, host: Any, connector_arguments: Any) -> bool:  # noqa: ARG002
        """Run under plain pyinfra, as its `@fake` connector does."""
        succeeded, _ = host.run_shell_command(StringCommand(self.script()), **connector_arguments)
        return bool(succeeded)

    def __repr__(self) -> str:
        """Paths only: content may be secret."""
        return f"WriteFiles({', '.join(artifact.path for artifact in self.artifacts)})"


# Everything is staged beside its target first, so that a full disk or a failed check changes nothing;
# only then are the files renamed, one after the other, and the renames made durable.
# Paths may hold spaces, so that lists of them are split at line ends alone, and never globbed.
_HEAD = """set -euf
IFS='
'
staged= dirs=
trap 'rm -f -- $staged' EXIT
stage() {
  d=$(dirname -- "$1")
  [ -d "$d" ] || (umask 022 && mkdir -p -- "$d")
  find "$d" -maxdepth 1 -type f -name '.stackctl.??????????' -mmin +60 -delete
  if [ -d "$1" ] && [ ! -L "$1" ]; then echo "$1 is a directory" >&2; exit 65; fi
  t=$(mktemp -- "$d/.stackctl.XXXXXXXXXX")
  staged="$staged$IFS$t" dirs="$dirs$IFS$d"
  base64 -d >"$t"
  chown -- "$2" "$t"
  chmod -- "$3" "$t"
  sync -- "$t"
}
"""


def upload_script(path: str, content: bytes) -> str:
    """Write what one of pyinfra's own operations uploads, as atomically as our own files.

    Owner and mode of a file that exists are kept; a new one is root's and readable, as pyinfra's are.
    """
    target = shlex.quote(path)
    return (
        f"{_HEAD}owner=root:root mode=644\n"
        f"[ ! -f {target} ] || {{ owner=$(stat -c %u:%g -- {target}); mode=$(stat -c %a -- {target}); }}\n"
        f'stage {target} "$owner" "$mode" <<\'EOF\'\n{base64.encodebytes(content).decode()}EOF\n'
        f'mv -fT -- "$t" {target}\nsync -- $dirs\n'
    )


def _encoded(artifact: Artifact) -> str:
    return base64.encodebytes(secret.reveal(artifact)).decode()


class NotSettledError(BaseException):
    """An operation asks about an earlier one that has not been evaluated yet.

    A BaseException, so that no `except Exception` of pyinfra's mistakes it for a failure.
    """


def changes(operation: Any) -> bool:
    """Whether an earlier operation changes something, in a plan, or did, in an apply."""
    if not operation.is_complete():
        raise NotSettledError
    return bool(operation.did_change())


def files_of(operation: Any) -> tuple[str, ...]:
    """Paths of the files that an earlier operation writes, as far as its commands say; none if it changes nothing."""
    if not changes(operation):
        return ()
    paths: list[str] = []
    for command in operation._commands or ():  # noqa: SLF001 - pyinfra tells how many there are, not which
        if isinstance(command, WriteFiles):
            paths += [change.path for change in command.changes]
        elif isinstance(command, FileUploadCommand):
            paths.append(command.dest)
    return tuple(paths)
