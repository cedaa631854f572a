"""One run of a program: its output, how long it took, and what it cost this machine."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Taken:
    """What a program took and said."""

    wall: float
    """Seconds from its start to its end."""
    cpu: float
    """Seconds of processor time, its own and that of the children it waited for.

    What a program leaves running is not in it, such as the connections that Ansible's `ssh` keeps.
    """
    said: str
    """Its standard output, then its standard error."""


class BrokenError(Exception):
    """A measured program failed; the message has what it said."""


def measure(argv: Sequence[str | Path], env: Mapping[str, str]) -> Taken:
    """Run a program to its end. BrokenError where its exit status is not 0; an interrupt ends it."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=dict(env),
            start_new_session=True,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        said = "".join(_content(stream) for stream in (output, errors))
    if process.returncode:
        shown = " ".join(map(str, argv))
        raise BrokenError(f"`{shown}` exited with {process.returncode}\n{said}")
    return Taken(wall, usage.ru_utime + usage.ru_stime, said)


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")
