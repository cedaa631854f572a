"""Run the generators of a host's operations against what is known, until all of it is."""

import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyinfra.connectors.util import CommandOutput

from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.batch import TIMED_OUT, Answer, Command
from stackctl.engine.connector import FactFailedError, UnansweredError
from stackctl.engine.declare import Declared, Operation
from stackctl.ops import secret
from stackctl.ops.step import NotSettledError
from stackctl.ops.trace import tracing

log = logging.getLogger("stackctl")

ROUNDS = 12
"""Rounds after which facts that ask for ever new facts are given up; sound deploys take three."""

Fetch = Generator[Sequence[Command], Sequence[Answer], None]
"""Yields batches to send to the host and is sent their answers."""


@dataclass(frozen=True)
class Evaluation:
    """What an operation would do now: commands, or why that cannot be said."""

    operation: Operation
    commands: tuple[Any, ...] = ()
    problems: tuple[Finding, ...] = ()
    may_pass: bool = False
    """The problems came from the host's present state: an earlier operation that changes it may cure it."""
    after: tuple[str, ...] = ()
    """Names of earlier operations whose changes it was asked about, and which do change something."""
    seen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """State of the things it keeps, as `ops.trace.saw` notes it."""

    @property
    def changing(self) -> bool:
        """Whether it would do anything."""
        return bool(self.commands or self.problems)


def evaluate(declared: Declared, operations: Sequence[Operation], into: list[Evaluation]) -> Fetch:
    """Evaluate `operations`, in order, into `into`, fetching whatever facts they ask for in few rounds."""
    results: dict[int, Evaluation] = {}
    connector = declared.connector
    for operation in operations:
        reset(operation)
    for _ in range(ROUNDS):
        with declared.context():
            for index, operation in enumerate(operations):
                if index not in results and (result := _attempt(declared.host, operation)) is not None:
                    results[index] = result
        asked = connector.take_asked()
        if not asked:
            break
        answers = yield asked
        connector.answers.update(zip(asked, answers, strict=True))
    for index, operation in enumerate(operations):
        into.append(results.get(index) or _unsettled(declared.host, operation))


def reset(operation: Operation) -> None:
    """Forget what was found before, so that it can be found anew."""
    operation.meta._success = None  # noqa: SLF001 - pyinfra has no way to evaluate twice
    operation.meta._commands = None  # noqa: SLF001


def settle(operation: Operation, commands: Sequence[Any], *, success: bool = True) -> None:
    """Tell later operations what this one does, or did."""
    reset(operation)
    operation.meta.set_complete(success, list(commands), CommandOutput([]))


def _attempt(host: str, operation: Operation) -> Evaluation | None:
    """One try; None while something is not known yet."""
    where = f"{host} · {operation.capability} · {operation.name}"
    may_pass = True
    try:
        with tracing() as trace:
            commands = tuple(operation.commands()) if _wanted(operation) else ()
    except (UnansweredError, NotSettledError):
        return None
    except FactFailedError as error:
        problems = [_fact_problem(where, error.answer)]
    except FindingsError as error:
        may_pass = False
        problems = [replace(item, where=where, what=f"{item.where}: {item.what}") for item in error.findings]
    except Exception as error:
        log.debug("%s", where, exc_info=error)
        problems = [
            Finding(where, f"cannot be planned: {type(error).__name__}: {error}", "see `--debug` for where")
        ]
    else:
        settle(operation, commands)
        return Evaluation(operation, commands, after=tuple(trace.after), seen=trace.seen)
    settle(operation, problems if may_pass else ())
    return Evaluation(operation, problems=tuple(problems), may_pass=may_pass)


def _wanted(operation: Operation) -> bool:
    """Evaluate `_if`, which pyinfra itself leaves for the execution."""
    conditions = operation.arguments.get("_if") or []
    listed = conditions if isinstance(conditions, list) else [conditions]
    metas = [getattr(condition, "__self__", None) for condition in listed]
    if any(meta is not None and not meta.is_complete() for meta in metas):
        raise NotSettledError
    try:
        wanted = all(condition() for condition in listed)
    except RuntimeError as error:  # a function that asks an operation which has not been evaluated yet
        raise NotSettledError from error
    for meta in metas:  # a method taken while the deploy was read asks in silence
        if meta is not None:
            meta.did_change()
    return wanted


def _fact_problem(where: str, answer: Answer) -> Finding:
    lines = tuple(secret.mask(answer.stderr).strip().splitlines()[-5:])
    what = f"reading the host's state failed with exit status {answer.status}"
    if answer.status == TIMED_OUT:
        what = "reading the host's state took too long: a program there does not answer"
    return Finding(where, what, "the lines above are what the host said", lines)


def _unsettled(host: str, operation: Operation) -> Evaluation:
    where = f"{host} · {operation.capability} · {operation.name}"
    problem = Finding(
        where, f"asks for new facts after {ROUNDS} rounds", "its facts must not depend on their own answers"
    )
    return Evaluation(operation, problems=(problem,))
