"""Evaluations become the plan's values."""

from collections.abc import Sequence
from textwrap import shorten

from pyinfra.api import StringCommand
from pyinfra.api.command import FileUploadCommand

from stackctl.core.finding import Finding
from stackctl.engine.declare import Declared
from stackctl.engine.evaluate import Evaluation
from stackctl.ops import secret
from stackctl.ops.step import Reboot, Step, WriteFiles
from stackctl.plan.change import Action, Change, FileChange, HostPlan

_REASON_CHARACTERS = 60


def host_plan(declared: Declared, evaluations: Sequence[Evaluation], round_trips: int) -> HostPlan:
    """The plan of one host.

    A problem that an earlier change may cure is a change that cannot be known yet; any other is a finding.
    """
    changes: list[Change] = []
    findings: list[Finding] = []
    for evaluation in evaluations:
        if not evaluation.problems:
            if evaluation.commands:
                changes.append(change(evaluation, changes[-1] if changes else None))
        elif evaluation.may_pass and changes:
            changes.append(_unknown(evaluation, changes[-1]))
        else:
            findings += evaluation.problems
    return HostPlan(declared.host, tuple(changes), tuple(findings), round_trips)


def change(evaluation: Evaluation, earlier: Change | None = None) -> Change:
    """One operation with its files, commands and reasons; `earlier` is the change before it, if any."""
    operation = evaluation.operation
    files: list[FileChange] = []
    reasons: list[str] = []
    shown: list[str] = []
    actions: list[Action] = []
    guards = [command.guard.name for command in evaluation.commands if getattr(command, "guard", None)]
    for command in evaluation.commands:
        if isinstance(command, WriteFiles):
            files += command.changes
            actions += [item.action for item in command.changes]
        elif isinstance(command, Step):
            reasons += [command.reason] if command.reason else []
            shown.append(secret.mask(str(command)))
            actions.append(command.action)
        elif isinstance(command, Reboot):
            reasons.append(f"reboot, {command.reason}")
            actions.append("run")
        else:
            text = secret.mask(_text(command))
            reasons.append(f"run `{shorten(text, _REASON_CHARACTERS, placeholder=' …')}`")
            shown.append(text)
            actions.append("change")
    if files and not reasons:
        reasons.append(_file_reason(files))
    return Change(
        operation.capability,
        operation.name,
        _action(actions),
        "; ".join(reasons),
        tuple(files),
        tuple(shown),
        _after(evaluation, earlier),
        guards[0] if guards else None,
    )


def _after(evaluation: Evaluation, earlier: Change | None) -> tuple[str, ...]:
    """What it hangs on: the changes it was asked about, or the one before it where the host cannot say yet."""
    unknown = any(isinstance(command, Step) and not command.known for command in evaluation.commands)
    if unknown and earlier is not None and earlier.operation not in evaluation.after:
        return (*evaluation.after, earlier.operation)
    return evaluation.after


def _unknown(evaluation: Evaluation, earlier: Change) -> Change:
    operation = evaluation.operation
    return Change(
        operation.capability,
        operation.name,
        "run",
        f"cannot be known before `{earlier.operation}` is done",
        after=(earlier.operation,),
    )


def _action(actions: Sequence[Action]) -> Action:
    """One sign for the whole operation: what all its parts do, or `change` when they differ."""
    return actions[0] if len(set(actions)) == 1 else "change"


def _file_reason(files: Sequence[FileChange]) -> str:
    if len(files) == 1:
        return files[0].reason
    return f"{len(files)} files"


def _text(command: object) -> str:
    if isinstance(command, StringCommand):
        return str(command)
    if isinstance(command, FileUploadCommand):
        return f"upload {command.dest}"
    return repr(command)
