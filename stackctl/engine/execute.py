"""Carry out what was planned on one host, one operation after the other, stopping at the first failure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from pyinfra.api import StringCommand
from pyinfra.api.command import FileUploadCommand

from stackctl.core.finding import Finding
from stackctl.engine import guard, lock, record
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer, Command
from stackctl.engine.channel import LostError
from stackctl.engine.connector import shell_command
from stackctl.engine.declare import Declared
from stackctl.engine.describe import change
from stackctl.engine.diagnose import failure
from stackctl.engine.evaluate import Evaluation, evaluate, settle
from stackctl.engine.reboot import rebooted
from stackctl.engine.work import Work
from stackctl.ops.fleet import Told
from stackctl.ops.step import Guard, Reboot, Step, WriteFiles, upload_script
from stackctl.plan.change import Change
from stackctl.plan.event import Event, EventKind, Listen

_WRITE_SECONDS = 300

_BATCH_BYTES = 512 * 1024
"""Up to this much content, files of operations that follow each other travel and are written together."""


@dataclass
class Progress:
    """What has been carried out on a host so far; read as well when the run is interrupted."""

    done: list[Change] = field(default_factory=list)
    current: str | None = None


@dataclass(frozen=True)
class Terms:
    """Who the operator is, and what he allows."""

    actor: Actor
    listen: Listen
    lock: Callable[[], Command]
    """Gives the command that takes a host's lock."""
    allow_reboot: bool = False
    news: Told = field(default_factory=dict)
    """What all hosts have told since the plan was confirmed."""


def execute(
    declared: Declared, planned: Sequence[Evaluation], progress: Progress, terms: Terms
) -> Work[tuple[Finding, ...]]:
    """Run the changing operations in order; each is evaluated afresh just before, its facts re-read.

    `planned` has been evaluated at this moment, so that its first operation is fresh, unless there is news from
    other hosts. Returns the findings that stopped it; none when all is done.
    """
    return (yield from _Execution(declared, progress, terms).run(planned))


def in_groups(planned: Sequence[Evaluation]) -> Iterator[tuple[Evaluation, ...]]:
    """Operations that only write files, none of them the same, go together; any other goes by itself."""
    group: list[Evaluation] = []
    paths: set[str] = set()
    size = 0
    for item in planned:
        files = [file for command in item.commands for file in getattr(command, "artifacts", ())]
        size += sum(len(file.content) for file in files)
        joins = _only_writes(item) and paths.isdisjoint(file.path for file in files) and size < _BATCH_BYTES
        if group and not (joins and _only_writes(group[-1]) and _guard(item) == _guard(group[-1])):
            yield tuple(group)
            group, paths, size = [], set(), 0
        group.append(item)
        paths |= {file.path for file in files}
    if group:
        yield tuple(group)


class _Execution:
    """One host's operations while they are carried out."""

    def __init__(self, declared: Declared, progress: Progress, terms: Terms) -> None:
        self.declared = declared
        self.progress = progress
        self.terms = terms
        self.guard: Guard | None = None
        self.touched = declared.hear(terms.news)
        """Whether anything is otherwise since the plan was evaluated."""

    def run(self, planned: Sequence[Evaluation]) -> Work[tuple[Finding, ...]]:
        for group in in_groups([item for item in planned if item.changing]):
            self.progress.current = _name(group[0])
            if self.guard is not None and self.guard != _guard(group[0]):
                finding = yield from self._confirm()
                if finding is not None:
                    return (finding,)
            for item in group:
                self._tell("started", item)
            findings = yield from self._attempt(group)
            self.touched = True
            if findings:
                self.terms.listen(Event(self.declared.host, "failed", self.progress.current))
                return findings
        finding = (yield from self._confirm()) if self.guard is not None else None
        if finding is not None:
            return (finding,)
        self.progress.current = None
        return ()

    def _attempt(self, group: tuple[Evaluation, ...]) -> Work[tuple[Finding, ...]]:
        """A guarded change may take the connection along before its last word has come."""
        try:
            fresh = group if not self.touched else (yield from self._afresh(group))
            return (yield from self._carry_out(fresh))
        except LostError:
            if self.guard is None:
                raise
            return (yield from self._lost(self.guard))

    def _afresh(self, group: tuple[Evaluation, ...]) -> Work[tuple[Evaluation, ...]]:
        self.declared.connector.forget()
        fresh: list[Evaluation] = []
        yield from evaluate(self.declared, [item.operation for item in group], fresh)
        return tuple(fresh)

    def _carry_out(self, group: tuple[Evaluation, ...]) -> Work[tuple[Finding, ...]]:
        problems = tuple(problem for item in group for problem in item.problems)
        if problems:
            return problems
        doing = [item for item in group if item.commands]
        if any(isinstance(command, Reboot) for item in doing for command in item.commands):
            return (yield from self._reboot(doing[0]))
        batch: list[Command] = [lock.STILL_OURS]
        steps: list[tuple[Evaluation, Any, int]] = []
        self.guard = _guard(doing[0]) if doing else self.guard
        for item in doing:
            batch.append(record.step(self.terms.actor, change(item)))
            if self.guard is not None:
                batch.append(guard.arm(self.guard, self.terms.actor))
            for command in item.commands:
                script = self._script(command, item)
                if script is None:
                    return (self._unknown(item, command),)
                steps.append((item, command, len(batch)))
                batch.append(script)
            batch.append(record.ended(self.terms.actor, change(item)))
        answers = (yield batch) if doing else ()
        finding = self._failure(doing, steps, batch, answers)
        if finding is not None and self.guard is not None:
            yield (guard.take_back(self.guard),)
            self._undone(self.guard)
            told = f"the files of {self.guard.name} are as they were before"
            finding = replace(finding, detail=(*finding.detail, told))
        for item in group if finding is None else ():
            settle(item.operation, item.commands)
            self._tell("done", item)
        return () if finding is None else (finding,)

    def _failure(
        self,
        doing: Sequence[Evaluation],
        steps: Sequence[tuple[Evaluation, Any, int]],
        batch: Sequence[Command],
        answers: Sequence[Answer],
    ) -> Finding | None:
        """What the first error of a batch means; what was done before it is done."""
        bad = next((index for index, answer in enumerate(answers) if answer.status != 0), None)
        places = {index: (item, command) for item, command, index in steps}
        for item in doing:
            last = max(index for one, _, index in steps if one is item)
            if bad is None or last < bad:
                self.progress.done.append(change(item))
        if bad is None:
            return None
        if bad not in places:
            where = f"{self.declared.host} · {_name(doing[0])}"
            if bad == 0:
                return lock.lost(where)
            return failure(where, answers[bad], batch[bad], "the host's own record of runs comes first")
        item, command = places[bad]
        self.progress.current = _name(item)
        settle(item.operation, (), success=False)
        where = f"{self.declared.host} · {_name(item)}"
        return failure(where, answers[bad], batch[bad], command.hint if isinstance(command, Step) else None)

    def _script(self, command: Any, item: Evaluation) -> Command | None:
        found = _command(self.declared, command, item.operation.arguments)
        if found is None:
            return None
        seconds = found.seconds if self.guard is None else min(found.seconds, guard.STEP_SECONDS)
        return Command(found.script, seconds, after_success=True)

    def _unknown(self, item: Evaluation, command: Any) -> Finding:
        what = f"`{type(command).__name__}` cannot be carried out by this engine"
        hint = "use an operation that yields shell commands or files"
        return Finding(f"{self.declared.host} · {_name(item)}", what, hint)

    def _confirm(self) -> Work[Finding | None]:
        assert self.guard is not None  # noqa: S101 - asked by the callers
        confirming, self.guard = self.guard, None
        where = f"{self.declared.host} · {self.progress.current}"
        self.terms.listen(Event(self.declared.host, "reconnecting"))
        finding = yield from guard.confirmed(confirming, where, self.terms.lock)
        if finding is not None:
            self._undone(confirming)
        return finding

    def _lost(self, guarded: Guard) -> Work[tuple[Finding, ...]]:
        where = f"{self.declared.host} · {self.progress.current}"
        self.terms.listen(Event(self.declared.host, "reconnecting"))
        finding = yield from guard.lost(guarded, where, self.terms.lock)
        self._undone(guarded)
        return (finding,)

    def _undone(self, taken_back: Guard) -> None:
        """What the host took back has not been done."""
        self.progress.done = [item for item in self.progress.done if item.guard != taken_back.name]

    def _reboot(self, item: Evaluation) -> Work[tuple[Finding, ...]]:
        """Reboot, and see that the host does not want the same again."""
        wanted = next(command for command in item.commands if isinstance(command, Reboot))
        where = f"{self.declared.host} · {_name(item)}"
        if not self.terms.allow_reboot:
            hint = "apply with `--allow-reboot` when the host may go down; it goes on from here"
            return (Finding(where, f"needs a reboot, {wanted.reason}", hint),)
        self.terms.listen(Event(self.declared.host, "rebooting", wanted.reason))
        finding = yield from rebooted(where, wanted.reason, self.terms.actor, self.terms.lock)
        if finding is not None:
            return (finding,)
        for operation in self.declared.operations:
            settle(operation, ())  # whatever was just changed, this boot has begun with it
        self.progress.done.append(change(item))
        (again,) = yield from self._afresh((item,))
        if again.commands:
            what = f"wants the same reboot again, {wanted.reason}"
            return (Finding(where, what, "see why the last one did not help; nothing more was done"),)
        self._tell("done", item)
        return again.problems

    def _tell(self, kind: EventKind, item: Evaluation) -> None:
        self.terms.listen(Event(self.declared.host, kind, _name(item)))


def _name(item: Evaluation) -> str:
    return f"{item.operation.capability} · {item.operation.name}"


def _guard(item: Evaluation) -> Guard | None:
    guards = (getattr(command, "guard", None) for command in item.commands)
    return next((found for found in guards if found is not None), None)


def _only_writes(item: Evaluation) -> bool:
    return bool(item.commands) and all(isinstance(command, WriteFiles) for command in item.commands)


def _command(declared: Declared, command: Any, arguments: dict[str, Any]) -> Command | None:
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
