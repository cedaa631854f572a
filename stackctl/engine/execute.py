"""Carry out what was planned on one host, one operation after the other, stopping at the first failure."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pyinfra.api import StringCommand
from pyinfra.api.command import FileUploadCommand

from stackctl.core.finding import Finding
from stackctl.engine.batch import Answer, Command
from stackctl.engine.connector import shell_command
from stackctl.engine.declare import Declared
from stackctl.engine.describe import change
from stackctl.engine.diagnose import failure
from stackctl.engine.evaluate import Evaluation, evaluate, settle
from stackctl.ops.step import Step, WriteFiles, upload_script
from stackctl.plan.change import Change
from stackctl.plan.event import Event, Listen

_WRITE_SECONDS = 300


@dataclass
class Progress:
    """What has been carried out on a host so far; read as well when the run is interrupted."""

    done: list[Change]
    current: str | None = None


def execute(
    declared: Declared, planned: Sequence[Evaluation], progress: Progress, listen: Listen
) -> Generator[Sequence[Command], Sequence[Answer], tuple[Finding, ...]]:
    """Run the changing operations in order; each is evaluated afresh just before, its facts re-read.

    Returns the findings that stopped it; none when all is done.
    """
    for before in planned:
        if not before.changing:
            continue
        operation = before.operation
        progress.current = f"{operation.capability} · {operation.name}"
        listen(Event(declared.host, "started", progress.current))
        declared.connector.forget()
        fresh: list[Evaluation] = []
        yield from evaluate(declared, (operation,), fresh)
        if fresh[0].problems:
            listen(Event(declared.host, "failed", progress.current))
            return fresh[0].problems
        finding = yield from _carry_out(declared, fresh[0], progress.current)
        if finding is not None:
            listen(Event(declared.host, "failed", progress.current))
            return (finding,)
        if fresh[0].commands:
            progress.done.append(change(fresh[0]))
        listen(Event(declared.host, "done", progress.current))
    progress.current = None
    return ()


def _carry_out(
    declared: Declared, evaluation: Evaluation, where: str
) -> Generator[Sequence[Command], Sequence[Answer], Finding | None]:
    operation = evaluation.operation
    for command in evaluation.commands:
        script = _script(declared, command, operation.arguments)
        if script is None:
            what = f"`{type(command).__name__}` cannot be carried out by this engine"
            return Finding(
                f"{declared.host} · {where}", what, "use an operation that yields shell commands or files"
            )
        answers = yield (script,)
        if answers[0].status != 0:
            settle(operation, (), success=False)
            return failure(f"{declared.host} · {where}", answers[0], script, _hint(command))
    settle(operation, evaluation.commands)
    return None


def _script(declared: Declared, command: Any, arguments: dict[str, Any]) -> Command | None:
    if isinstance(command, WriteFiles):
        return Command(command.script(), _WRITE_SECONDS)
    if isinstance(command, FileUploadCommand):
        return Command(upload_script(command.dest, _content(command.src)), _WRITE_SECONDS)
    if isinstance(command, StringCommand):
        merged = {**arguments, **command.connector_arguments}
        return shell_command(declared.state, declared.target, command, merged)
    return None


def _content(source: str | IO[Any]) -> bytes:
    if isinstance(source, str):
        return Path(source).read_bytes()
    source.seek(0)
    content = source.read()
    return content if isinstance(content, bytes) else str(content).encode()


def _hint(command: Any) -> str | None:
    return command.hint if isinstance(command, Step) else None
