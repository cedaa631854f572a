"""Hosts side by side, each with its own luck."""

import subprocess
import sys
import time
from collections.abc import Sequence

from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.batch import Answer, Command
from stackctl.engine.channel import LostError
from stackctl.engine.drive import Work, drive, open_all


class Slow:
    """Takes its time for every exchange; `fails` breaks at the first."""

    def __init__(self, seconds: float = 0, *, fails: bool = False, refuses: bool = False) -> None:
        self.round_trips = 0
        self.seconds = seconds
        self.fails = fails
        self.refuses = refuses

    def open(self) -> None:
        time.sleep(self.seconds)
        if self.refuses:
            raise FindingsError(Finding("gpu1", "is down"))

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        self.round_trips += 1
        time.sleep(self.seconds)
        if self.fails:
            raise LostError("the connection broke")
        return tuple(Answer(0, command.script, "") for command in commands)

    def close(self) -> None:
        """Nothing to leave."""


def asking(*scripts: str) -> Work[list[str]]:
    """One exchange for each script; returns what was answered."""
    said = []
    for script in scripts:
        answers = yield (Command(script, 10),)
        said.append(answers[0].stdout)
    return said


def test_twenty_hosts_take_as_long_as_one() -> None:
    names = [f"gpu{number}" for number in range(20)]
    began = time.monotonic()

    results = drive({name: asking("a", "b", "c") for name in names}, {name: Slow(0.1) for name in names})

    assert results == {name: ["a", "b", "c"] for name in names}
    assert time.monotonic() - began < 20 * 0.3 / 3


def test_a_host_that_breaks_leaves_the_others_their_results() -> None:
    sessions = {"gpu1": Slow(fails=True), "gpu2": Slow()}

    results = drive({name: asking("a", "b") for name in sessions}, sessions)

    assert isinstance(results["gpu1"], LostError)
    assert results["gpu2"] == ["a", "b"]


def test_work_that_never_asks_anything_is_done_at_once() -> None:
    assert drive({"gpu1": asking()}, {"gpu1": Slow()}) == {"gpu1": []}
    assert drive({}, {}) == {}


def test_hosts_are_connected_side_by_side_and_refusals_are_kept_by_host() -> None:
    sessions = {f"gpu{number}": Slow(0.1, refuses=number == 3) for number in range(20)}
    began = time.monotonic()

    failed = open_all(sessions)

    assert list(failed) == ["gpu3"]
    assert time.monotonic() - began < 1


def test_being_interrupted_while_a_black_hole_is_dialled_ends_the_program_at_once() -> None:
    program = """
import os, signal, threading, time
from stackctl.engine.drive import open_all
class Hole:
    def open(self): time.sleep(60)
    def close(self): pass
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    open_all({f"gpu{n}": Hole() for n in range(200)})
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
