"""An apply that is struck at each of its exchanges with the host, and the next, which makes it good."""

from collections.abc import Iterator
from itertools import count
from signal import SIGKILL

import pytest

from tests.lab.faults import KINDS
from tests.lab.struck import Struck

pytestmark = pytest.mark.lab

# A sample that takes six minutes, the steps themselves among it; `make fault-test` is everywhere by all.
EVERYDAY = [("kill-middle", 2), ("cut-middle", 9)]
FULL = [(kind, 1) for kind in KINDS]


@pytest.mark.parametrize(
    ("kind", "stride"), [*EVERYDAY, *(pytest.param(*each, marks=pytest.mark.fault) for each in FULL)]
)
def test_an_apply_struck_at_any_exchange_leaves_whole_files_and_a_true_log_and_the_next_converges(
    struck: Struck, kind: str, stride: int
) -> None:
    problems = [
        (number, problem)
        for number in _numbers(struck, kind, stride)
        for problem in (*_now(struck), *_then(struck))
    ]

    assert problems == []


def _numbers(struck: Struck, kind: str, stride: int) -> Iterator[int]:
    """Numbers of exchanges at which an apply of the bare host has just been struck; ends with its last."""
    for number in count(1, stride):
        struck.reset()
        ended = struck.strike(kind, number)
        if ended.code == 0:
            return
        assert ended.code == (-SIGKILL if kind.startswith("kill") else 1), ended.text
        assert kind.startswith("kill") or "the connection broke" in ended.text
        yield number


def _now(struck: Struck) -> Iterator[str]:
    """What of the host contradicts its own log, or is half-written."""
    seen = struck.look()
    yield from struck.untrue(seen)
    results = {visit.result for visit in seen.visits}
    # Only a run all of whose steps have ended can have been struck after it had noted its own end.
    ended = seen.visits and all(step.result == "done" for step in seen.visits[-1].steps)
    if not results <= ({"cut off", "done"} if ended and "run the gateway" in seen.true else {"cut off"}):
        yield f"its log says {results}"


def _then(struck: Struck) -> Iterator[str]:
    """What the next apply, without any flag, fails at or leaves."""
    findings = struck.converge()
    yield from (f"{finding.where}: {finding.what} {finding.detail}" for finding in findings)
    if not findings:
        yield from struck.unfinished()
