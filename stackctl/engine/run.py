"""A run over a fleet: connect, plan, and carry out with proof that nothing is left to do."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.job import Job
from stackctl.engine.channel import LostError
from stackctl.engine.declare import Declared, declare
from stackctl.engine.describe import host_plan
from stackctl.engine.drive import Work, drive, open_all
from stackctl.engine.evaluate import Evaluation, evaluate
from stackctl.engine.execute import Progress, execute
from stackctl.engine.hostkeys import NewKey, UnknownKeyError
from stackctl.engine.session import Session, SshSession
from stackctl.plan.change import HostOutcome, HostPlan, Outcome, Plan
from stackctl.plan.event import Event, Listen

log = logging.getLogger("stackctl")
# At its level of debugging pyinfra logs the arguments of facts, and a file's text with its secrets is one.
logging.getLogger("pyinfra").setLevel(logging.INFO)


@dataclass
class Run:
    """Connections and declared operations of the hosts of one command; use as a context manager."""

    environment: str
    jobs: Sequence[Job]
    find_deploy: Callable[[str], Path]
    listen: Listen
    new_session: Callable[[Connection], Session] = SshSession
    sessions: dict[str, Session] = field(default_factory=dict)
    declared: dict[str, Declared] = field(default_factory=dict)
    broken: dict[str, tuple[Finding, ...]] = field(default_factory=dict)
    """Hosts that cannot be worked on, and why."""
    progress: dict[str, Progress] = field(default_factory=dict)
    outcomes: dict[str, HostOutcome] = field(default_factory=dict)
    """Hosts whose apply has come to its end."""

    def __enter__(self) -> Self:
        """Nothing is touched yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave all hosts; a command still running there ends by itself."""
        for session in self.sessions.values():
            session.close()

    def connect(self) -> tuple[NewKey, ...]:
        """Declare and connect what is not yet; returns the host keys that the operator must vouch for first."""
        for job in self.jobs:
            if job.host not in self.declared and job.host not in self.broken:
                self._declare(job)
        missing = {
            job.host: self.new_session(job.connection)
            for job in self.jobs
            if job.host in self.declared and job.host not in self.sessions and job.host not in self.broken
        }
        unknown: list[NewKey] = []
        failed = open_all(missing)
        for host, session in missing.items():
            error = failed.get(host)
            if error is None:
                self.sessions[host] = session
                self.listen(Event(host, "connected"))
            elif isinstance(error, UnknownKeyError):
                unknown.append(error.new)
            else:
                self._break(host, error)
        return tuple(sorted(unknown))

    def refuse(self, keys: Sequence[NewKey]) -> None:
        """Give up the hosts whose keys the operator did not vouch for."""
        for key in keys:
            finding = Finding(
                key.host,
                f"the host key of {key.name} is not known: {key.kind} {key.fingerprint}",
                "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_*.pub` on the host, then run with"
                " `--accept-new-host-keys` or pin it under `host_keys`",
            )
            self.broken[key.host] = (finding,)

    def plan(self) -> Plan:
        """What an apply would do on every host, hosts in name order."""
        work = {host: self._planning(self.declared[host]) for host in self.sessions}
        plans: dict[str, HostPlan] = {
            host: HostPlan(host, findings=findings) for host, findings in self.broken.items()
        }
        for host, result in drive(work, self.sessions).items():
            if isinstance(result, Exception):
                self._break(host, result)
                plans[host] = HostPlan(host, findings=self.broken[host])
            else:
                plans[host] = result
            self.listen(Event(host, "planned"))
        return Plan(self.environment, tuple(plans[host] for host in sorted(plans)))

    def apply(self, confirmed: Plan) -> Outcome:
        """Carry out the plan that was confirmed, and prove that nothing is left.

        A host whose changes are no longer those confirmed is refused; a host that fails stops there, and the
        others go on.
        """
        plans = {plan.host: plan for plan in confirmed.hosts}
        self.outcomes = outcomes = {
            host: HostOutcome(host, findings=plan.findings)
            for host, plan in plans.items()
            if not plan.changes or plan.findings
        }
        work: dict[str, Work[HostOutcome]] = {}
        for host, plan in plans.items():
            if host not in outcomes:
                self.progress[host] = Progress([])
                work[host] = self._applied(self.declared[host], plan)
        drive(work, self.sessions)
        return Outcome(self.environment, tuple(outcomes[host] for host in sorted(outcomes)))

    def interrupted(self) -> Outcome:
        """What had been done on each host when the operator stopped the run."""
        return Outcome(
            self.environment,
            tuple(
                self.outcomes.get(host) or self._stopped(host, self._interruption(host))
                for host in sorted(self.progress)
            ),
        )

    def _planning(self, declared: Declared) -> Work[HostPlan]:
        evaluations: list[Evaluation] = []
        session = self.sessions[declared.host]
        before = session.round_trips
        yield from evaluate(declared, declared.operations, evaluations)
        return host_plan(declared, evaluations, session.round_trips - before)

    def _applied(self, declared: Declared, confirmed: HostPlan) -> Work[HostOutcome]:
        """The whole course of one host, its outcome noted at once: the run may be stopped before the others'."""
        host = declared.host
        try:
            outcome = yield from self._applying(declared, confirmed)
        except Exception as error:  # noqa: BLE001 - the other hosts go on
            self._break(host, error)
            outcome = self._stopped(host, *self.broken[host])
        self.outcomes[host] = outcome
        self.listen(Event(host, "finished"))
        return outcome

    def _applying(self, declared: Declared, confirmed: HostPlan) -> Work[HostOutcome]:
        host = declared.host
        progress = self.progress[host]
        declared.connector.forget()
        evaluations: list[Evaluation] = []
        yield from evaluate(declared, declared.operations, evaluations)
        now = host_plan(declared, evaluations, 0)
        if now != confirmed:
            return self._stopped(host, _differs(confirmed, now))
        findings = yield from execute(declared, evaluations, progress, self.listen)
        if findings:
            return self._stopped(host, *findings)
        self.listen(Event(host, "verifying"))
        declared.connector.forget()
        second: list[Evaluation] = []
        yield from evaluate(declared, declared.operations, second)
        left = host_plan(declared, second, 0)
        return HostOutcome(host, tuple(progress.done), left.findings, left.changes)

    def _stopped(self, host: str, *findings: Finding) -> HostOutcome:
        return HostOutcome(host, tuple(self.progress[host].done), findings)

    def _interruption(self, host: str) -> Finding:
        current = self.progress[host].current
        where = f"{host} · {current}" if current else host
        what = "interrupted" if current is None else "interrupted; the step ends by itself on the host"
        return Finding(where, what, "apply again: it takes up where this stopped")

    def _declare(self, job: Job) -> None:
        try:
            self.declared[job.host] = declare(job, self.find_deploy)
        except FindingsError as error:
            self._break(job.host, error)

    def _break(self, host: str, error: Exception) -> None:
        """Note why a host cannot be worked on any more."""
        log.debug("%s", host, exc_info=error)
        current = self.progress[host].current if host in self.progress else None
        where = f"{host} · {current}" if current else host
        if isinstance(error, FindingsError):
            self.broken[host] = tuple(
                item if item.where.startswith(host) else replace(item, where=f"{host} · {item.where}")
                for item in error.findings
            )
            return
        if isinstance(error, LostError):
            what = f"{error}; what the step did is not known" if current else str(error)
            hint = "check the host and its network, then apply again: it takes up where this stopped"
        else:
            what = f"a fault of stackctl's own: {type(error).__name__}: {error}"
            hint = "run again with `--debug` and report what it shows"
        self.broken[host] = (Finding(where, what, hint),)


def _differs(confirmed: HostPlan, now: HostPlan) -> Finding:
    before, after = set(confirmed.changes), set(now.changes)
    lines = [
        f"no longer: {item.capability} · {item.operation} ({item.reason})"
        for item in confirmed.changes
        if item not in after
    ]
    lines += [
        f"new: {item.capability} · {item.operation} ({item.reason})"
        for item in now.changes
        if item not in before
    ]
    lines += [f"new: {finding.what}" for finding in now.findings]
    what = "the host changed after the plan was shown; nothing was done"
    return Finding(confirmed.host, what, "run again and read the new plan", tuple(lines))
