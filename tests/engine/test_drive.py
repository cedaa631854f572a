"""Hosts side by side, each with its own luck."""

import subprocess
import sys
import time
from collections.abc import Sequence

from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.batch import Answer, Command
from stackctl.engine.channel import LostError
from stackctl.engine.drive import drive, open_all
from stackctl.engine.session import Session
from stackctl.engine.work import DeadlineError, NotBackError, Reconnect, Work


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


def never(host: str) -> Session:
    """Nobody asks for a fresh session here."""
    raise AssertionError(host)


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

    work = {name: asking("a", "b", "c") for name in names}
    results = drive(work, {name: Slow(0.1) for name in names}, never)

    assert results == {name: ["a", "b", "c"] for name in names}
    assert time.monotonic() - began < 20 * 0.3 / 3


def test_a_host_that_breaks_leaves_the_others_their_results() -> None:
    sessions: dict[str, Session] = {"gpu1": Slow(fails=True), "gpu2": Slow()}

    results = drive({name: asking("a", "b") for name in sessions}, sessions, never)

    assert isinstance(results["gpu1"], LostError)
    assert results["gpu2"] == ["a", "b"]


def test_work_that_never_asks_anything_is_done_at_once() -> None:
    assert drive({"gpu1": asking()}, {"gpu1": Slow()}, never) == {"gpu1": []}
    assert drive({}, {}, never) == {}


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


def test_a_host_that_hangs_is_given_up_at_the_deadline_and_the_others_are_not() -> None:
    sessions: dict[str, Session] = {"gpu1": Slow(30), "gpu2": Slow()}
    began = time.monotonic()

    results = drive({name: asking("a") for name in sessions}, sessions, never, deadline=0.5)

    assert time.monotonic() - began < 10
    assert isinstance(results["gpu1"], DeadlineError)
    assert results["gpu2"] == ["a"]


def test_a_reconnected_host_answers_on_the_new_session_and_keeps_its_count() -> None:
    old, new = Slow(), Slow()
    sessions: dict[str, Session] = {"gpu1": old}

    def work() -> Work[None]:
        yield (Command("a", 10),)
        yield Reconnect(1)
        yield (Command("b", 10),)

    drive({"gpu1": work()}, sessions, lambda _: new)

    assert sessions["gpu1"] is new
    assert (old.round_trips, new.round_trips) == (1, 2)


def test_a_host_that_lets_nobody_in_keeps_its_old_session() -> None:
    old = Slow()
    sessions: dict[str, Session] = {"gpu1": old}

    def work() -> Work[str]:
        try:
            yield Reconnect(0)
        except NotBackError as error:
            return str(error)
        return "let in"

    results = drive({"gpu1": work()}, sessions, lambda _: Slow(refuses=True))

    assert results == {"gpu1": "gpu1: is down"}
    assert sessions["gpu1"] is old
