"""Running tools: their failures become findings, and a tool never outlives who asked for it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from stackctl.core.finding import FailureError, Finding

_EVIDENCE = 15


def run(
    argv: Sequence[str | Path],
    *,
    where: str = "lab",
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    hint: str | None = None,
) -> str:
    """What the tool wrote to its output; a FindingsError with its last words when it failed."""
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError as error:
        what = f"`{error.filename}` is not on this machine"
        raise FailureError(Finding(where, what, "install the Debian package that has it")) from error
    if done.returncode:
        raise FailureError(failure(argv, done.returncode, done.stderr or done.stdout, where=where, hint=hint))
    return done.stdout


def failure(
    argv: Sequence[str | Path], status: int, said: str, *, where: str, hint: str | None = None
) -> Finding:
    """The finding for a tool that failed, with its last words as evidence."""
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    cause = lines[-1] if lines else f"exit status {status}"
    tool = next(str(word) for word in _without_wrapping(argv))
    return Finding(where, f"`{Path(tool).name}` failed: {cause}", hint, tuple(lines[-_EVIDENCE:-1]))


def confined(argv: Sequence[str | Path]) -> list[str | Path]:
    """The same command where it, its children and its mounts end when this process does, even by SIGKILL."""
    return [*_CONFINEMENT, *argv]


def inside(namespace: str, argv: Sequence[str | Path]) -> list[str | Path]:
    """The same command with the network of a namespace.

    Unlike `ip netns exec` it keeps the mount namespace: no copy of the lab's mounts stays behind in it.
    """
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *argv]


def spawn(argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Start a process that outlives this one, in a session of its own."""
    with log.open("ab") as sink:
        subprocess.run(
            ["setsid", "--fork", *(str(word) for word in argv)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            check=True,
            cwd="/",
            env={**os.environ, **(env or {})},
        )


def become(argv: Sequence[str | Path]) -> NoReturn:
    """Turn this process into another, which has the terminal, its signals and the exit status to itself."""
    sys.stdout.flush()
    sys.stderr.flush()
    words = [str(word) for word in argv]
    os.execvp(words[0], words)  # noqa: S606


_CONFINEMENT = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
)  # fmt: skip


def _without_wrapping(argv: Sequence[str | Path]) -> Sequence[str | Path]:
    if tuple(argv[: len(_CONFINEMENT)]) == _CONFINEMENT:
        return argv[len(_CONFINEMENT) :]
    if argv[0] == "nsenter":
        return argv[argv.index("--") + 1 :]
    return argv
