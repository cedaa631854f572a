"""The real program, struck down at one of an apply's exchanges with its host, counted from the lock on.

    python -m tests.lab.faults KIND NUMBER -- apply ENV --yes --project FOLDER

Past the last exchange nothing strikes, and the program ends as it does.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NoReturn, get_args

import paramiko

from stackctl.cli.main import run
from stackctl.engine import session
from stackctl.engine.channel import exchange

Moment = Literal["before", "middle", "after"]
KINDS = tuple(f"{how}-{moment}" for how in ("kill", "cut") for moment in get_args(Moment))
_LOCK = b"flock "
"""In the first exchange of an apply."""

Exchange = Callable[[paramiko.Channel, bytes, str, int, float], tuple[bytes, bytes]]


@dataclass
class Striking:
    """Stands in for the engine's own exchange; every session of the process goes through it."""

    kind: str
    number: int
    real: Exchange
    counted: int = field(default=0)

    def __call__(
        self, channel: paramiko.Channel, script: bytes, mark: str, count: int, limit: float
    ) -> tuple[bytes, bytes]:
        """The exchange, or what becomes of it."""
        if self.counted or _LOCK in script:
            self.counted += 1
        if self.counted == self.number:
            self._strike(channel, script)
        return self.real(channel, script, mark, count, limit)

    def _strike(self, channel: paramiko.Channel, script: bytes) -> None:
        how, _, moment = self.kind.rpartition("-")
        channel.settimeout(60)
        channel.sendall(script[: {"before": 0, "middle": len(script) // 2, "after": len(script)}[moment]])
        if how == "kill":
            _die()
        transport = channel.get_transport()
        assert transport is not None
        assert isinstance(transport.sock, socket.socket)
        transport.sock.shutdown(socket.SHUT_RDWR)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def main(words: list[str]) -> None:
    """Run the program that `words` ask for."""
    kind, number, _, *program = words
    vars(session)["exchange"] = Striking(kind, int(number), exchange)
    run(program)


if __name__ == "__main__":
    main(sys.argv[1:])
