"""Stand-ins for a host: the real shell of this machine, without SSH."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from stackctl.engine.batch import HEAD, Answer, Command, answers, framed, new_mark


class LocalSession:
    """Runs every batch in `sh` here; `log` keeps what was sent. Programs in `programs` come before the real."""

    def __init__(self, programs: Path | None = None) -> None:
        self.head = HEAD if programs is None else f"{HEAD}PATH={programs}:$PATH\n"
        self.round_trips = 0
        self.log: list[tuple[Command, ...]] = []

    def open(self) -> None:
        """Always there."""

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        self.round_trips += 1
        self.log.append(tuple(commands))
        mark = new_mark()
        done = subprocess.run(
            ["sh", "-s"],
            input=self.head.encode() + framed(commands, mark),
            capture_output=True,
            check=False,
            timeout=60,
        )
        return answers(done.stdout, done.stderr, mark)

    def close(self) -> None:
        """Nothing to leave."""
