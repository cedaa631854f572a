"""One host's whole course: what it would go through, and an apply from the lock to the receipt."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from stackctl.doctor.ladder import findings_of, ladder
from stackctl.engine import lock, record
from stackctl.engine.batch import Command
from stackctl.engine.channel import LostError
from stackctl.engine.declare import Declared
from stackctl.engine.describe import host_plan
from stackctl.engine.diagnose import failure
from stackctl.engine.evaluate import Evaluation, evaluate
from stackctl.engine.examine import examined
from stackctl.engine.execute import Progress, Terms, execute
from stackctl.engine.guard import TAKE_BACK_UNCONFIRMED
from stackctl.engine.session import Session
from stackctl.engine.work import Work
from stackctl.ops.step import Reboot
from stackctl.plan.change import HostOutcome, HostPlan
from stackctl.plan.compare import differs
from stackctl.plan.event import Event
from stackctl.plan.receipt import Receipt, Things, read_receipt


@dataclass(frozen=True)
class Reading:
    """A host as it was found: what would change, and what its receipt says."""

    plan: HostPlan
    evaluations: tuple[Evaluation, ...]
    receipt: Receipt | None

    @property
    def things(self) -> Things:
        """State of all that the operations keep."""
        return {thing: state for item in self.evaluations for thing, state in item.seen.items()}


def read(declared: Declared, session: Session) -> Work[Reading]:
    """Evaluate all operations; the receipt comes along with their first facts."""
    before = session.round_trips
    declared.connector.forget()
    evaluations: list[Evaluation] = []
    facts = evaluate(declared, declared.operations, evaluations)
    asked = next(facts, None)
    first, *answers = yield (record.READ_RECEIPT, *(asked or ()))
    while asked is not None:
        try:
            asked = facts.send(answers)
        except StopIteration:
            break
        answers = list((yield asked))
    plan = host_plan(declared, evaluations, session.round_trips - before)
    declared.connector.forget()  # thousands of hosts' files are not kept until their apply asks anew
    return Reading(plan, tuple(evaluations), read_receipt(first.stdout))


def applied(
    declared: Declared,
    confirmed: HostPlan,
    progress: Progress,
    terms: Terms,
    environment: str,
) -> Work[HostOutcome]:
    """Carry out what was confirmed, or refuse a host that is another now, and prove that nothing is left."""
    host = declared.host
    taken, *_ = yield (terms.lock(), TAKE_BACK_UNCONFIRMED)
    refused = lock.refused(host, taken)
    if refused is not None:
        return HostOutcome(host, findings=(refused,))
    outcome = yield from _locked(declared, confirmed, progress, terms, environment)
    if any(change.capability == "gpu" for change in outcome.done) and not outcome.failed:
        case = yield from examined(declared.job)
        outcome = replace(outcome, findings=() if case is None else findings_of(ladder(case)))
    with suppress(LostError):  # the lock goes with the connection
        yield (lock.RELEASE,)
    return outcome


def _locked(
    declared: Declared, confirmed: HostPlan, progress: Progress, terms: Terms, environment: str
) -> Work[HostOutcome]:
    host = declared.host
    evaluations, now = yield from _evaluated(declared)
    if now != confirmed:
        return HostOutcome(host, findings=(differs(confirmed, now),))
    if now.changes:
        owed = [
            command.marker for item in evaluations for command in item.commands if isinstance(command, Reboot)
        ]
        command = record.begin(terms.actor, environment, len(now.changes), owed)
        (begun,) = yield (command,)
        if begun.status != 0:
            return HostOutcome(host, findings=(failure(f"{host} · audit log", begun, command, None),))
        findings = yield from execute(declared, evaluations, progress, terms)
        if findings:
            with suppress(LostError):  # what stopped it may have taken the connection along
                yield (_finish(terms, "failed", [finding.what for finding in findings]),)
            return HostOutcome(host, tuple(progress.done), findings)
        terms.listen(Event(host, "verifying"))
        evaluations, now = yield from _evaluated(declared)
    return (yield from _proven(declared, now, evaluations, progress, terms, environment))


def _proven(
    declared: Declared,
    left: HostPlan,
    evaluations: Sequence[Evaluation],
    progress: Progress,
    terms: Terms,
    environment: str,
) -> Work[HostOutcome]:
    """Leave a receipt of what the host is now, and an end of the run in its log."""
    batch = [record.write_receipt(_receipt(declared, evaluations, terms, environment))]
    if progress.done:
        still = [f"still to do: {change.capability} · {change.operation}" for change in left.changes]
        batch.append(_finish(terms, "did not converge" if left.changes or left.findings else "done", still))
    answers = yield batch
    bad = next((index for index, answer in enumerate(answers) if answer.status != 0), None)
    findings = left.findings
    if bad is not None:
        findings = (*findings, failure(f"{declared.host} · receipt", answers[bad], batch[bad], None))
    return HostOutcome(declared.host, tuple(progress.done), findings, left.changes)


def _evaluated(declared: Declared) -> Work[tuple[list[Evaluation], HostPlan]]:
    declared.connector.forget()
    evaluations: list[Evaluation] = []
    yield from evaluate(declared, declared.operations, evaluations)
    return evaluations, host_plan(declared, evaluations, 0)


def _finish(terms: Terms, result: str, findings: Sequence[str]) -> Command:
    return record.note(terms.actor, "finish", result=result, findings=list(findings))


def _receipt(
    declared: Declared, evaluations: Sequence[Evaluation], terms: Terms, environment: str
) -> Receipt:
    actor = terms.actor
    return Receipt(
        actor.run,
        actor.who,
        actor.machine,
        actor.commit,
        actor.version,
        environment,
        wanted=fingerprints(declared),
        things={thing: state for item in evaluations for thing, state in item.seen.items()},
    )


def fingerprints(declared: Declared) -> Mapping[str, str]:
    """What the inventory and the deploys want, by capability, so short that it can be compared and stored."""
    return {
        part.capability: hashlib.sha256(
            repr((part.spec, part.files)).encode() + declared.deploys[part.capability].read_bytes()
        ).hexdigest()
        for part in declared.job.parts
    }
