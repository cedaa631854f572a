"""A program on the operator's machine that knows a secret, and its end."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence


class SilentError(Exception):
    """Why there is no output; nothing that the program printed is in it."""


def output(words: Sequence[str], seconds: float, descriptors: Sequence[int] = ()) -> bytes:
    """What the program prints; SilentError when it fails, or has not ended within `seconds`.

    It has a session of its own: there it cannot wait for a terminal that shows something else, and is ended
    together with whatever it started. It inherits `descriptors`, by the same numbers, and no others.
    """
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=descriptors,
        )
    except FileNotFoundError as error:
        raise SilentError(f"there is no program `{words[0]}`") from error
    except OSError as error:
        raise SilentError(f"`{words[0]}` cannot be run: {(error.strerror or str(error)).lower()}") from error
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        late = True
    else:
        late = False
    finally:
        if process.returncode is None:  # also when the operator interrupts
            _end(process)
    if late:  # not in the handler: the exception there holds what was printed until then
        raise SilentError(f"it took longer than {seconds:g} s")
    if process.returncode != 0:
        raise SilentError(f"it exited {process.returncode}")
    return printed


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the whole group, without waiting for the output of what has left it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # some ignore SIGTERM, and secrets need no tidying up
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
