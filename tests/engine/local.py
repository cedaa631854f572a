"""Stand-ins for a host: the real shell of this machine, without SSH."""

import atexit
import os
import selectors
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from stackctl.engine.batch import HEAD, Answer, Command, answers, complete, framed, new_mark
from stackctl.engine.channel import LostError

_left: list["subprocess.Popen[bytes]"] = []
"""Shells that were left and have not ended yet."""


@atexit.register
def _end() -> None:
    for shell in _left:
        shell.kill()
        shell.wait()


class LocalSession:
    """Runs every batch in one `sh` here; `log` keeps what was sent.

    Programs in `programs` come before the real; what stackctl keeps on a host is in `state`.
    """

    def __init__(self, programs: Path | None = None, state: Path | None = None) -> None:
        kept = tempfile.mkdtemp(prefix="stackctl-host-")
        weakref.finalize(self, shutil.rmtree, kept, ignore_errors=True)
        folder = state or Path(kept)
        path = "" if programs is None else f"PATH={programs}:$PATH\n"
        self.head = f"{HEAD}STACKCTL_STATE={folder}/lib STACKCTL_RUN={folder}/run STACKCTL_UNITS={folder}/units\n{path}"
        self.round_trips = 0
        self.log: list[tuple[Command, ...]] = []
        self.shell: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Start the shell."""
        self.shell = subprocess.Popen(
            ["sh", "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self._send(self.head.encode())

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        if self.shell is None:
            self.open()
        self.round_trips += 1
        self.log.append(tuple(commands))
        mark = new_mark()
        # From a thread of its own, since a shell that cannot be rid of its output stops reading.
        sending = threading.Thread(target=self._send, args=(framed(commands, mark),))
        sending.start()
        try:
            return answers(*self._read(mark, len(commands)), mark)
        finally:
            sending.join(60)

    def close(self) -> None:
        """End the shell as a lost connection does: a step that runs goes on."""
        if self.shell is not None:
            for pipe in (self.shell.stdin, self.shell.stdout, self.shell.stderr):
                assert pipe is not None
                pipe.close()
            # Called while garbage is collected too, where nothing may be waited for.
            _left.append(self.shell)
            _left[:] = [shell for shell in _left if shell.poll() is None]
            self.shell = None

    def __del__(self) -> None:
        self.close()

    def _send(self, script: bytes) -> None:
        assert self.shell is not None
        assert self.shell.stdin is not None
        while script:
            script = script[self.shell.stdin.write(script) :]

    def _read(self, mark: str, count: int) -> tuple[bytes, bytes]:
        assert self.shell is not None
        assert self.shell.stdout is not None
        assert self.shell.stderr is not None
        out, err = bytearray(), bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(self.shell.stdout, selectors.EVENT_READ, out)
            ready.register(self.shell.stderr, selectors.EVENT_READ, err)
            while not complete(out, err, mark, count):
                for key, _ in ready.select(60):
                    text = os.read(key.fd, 65536)
                    if not text:
                        raise LostError("the connection broke")
                    key.data.extend(text)
        return bytes(out), bytes(err)
