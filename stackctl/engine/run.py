"""A run over a fleet: connect, plan, and carry out with proof that nothing is left to do."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.job import Job
from stackctl.engine import lock, record
from stackctl.engine.actor import Actor
from stackctl.engine.course import Reading, applied, fingerprints, read
from stackctl.engine.declare import Declared, declare
from stackctl.engine.describe import change
from stackctl.engine.drive import drive, open_all
from stackctl.engine.execute import Progress, Terms
from stackctl.engine.hostkeys import NewKey, UnknownKeyError
from stackctl.engine.session import Session, SshSession
from stackctl.engine.trouble import distrusted, findings_of, interruption
from stackctl.engine.work import Work
from stackctl.plan.change import HostOutcome, HostPlan, Outcome, Plan
from stackctl.plan.drift import Drift, HostDrift, Seen, drift
from stackctl.plan.event import Event, Listen
from stackctl.plan.receipt import Visit, visits
from stackctl.plan.rollout import Rollout, batches, waves

# At its level of debugging pyinfra logs the arguments of facts, and a file's text with its secrets is one.
logging.getLogger("pyinfra").setLevel(logging.INFO)


@dataclass
class Run:
    """Connections and declared operations of the hosts of one command; use as a context manager."""

    environment: str
    jobs: Sequence[Job]
    find_deploy: Callable[[str], Path]
    listen: Listen
    who: Callable[[], Actor]
    """Asked once, when something is to be recorded: git takes its time."""
    new_session: Callable[[Connection], Session] = SshSession
    sessions: dict[str, Session] = field(default_factory=dict)
    declared: dict[str, Declared] = field(default_factory=dict)
    broken: dict[str, tuple[Finding, ...]] = field(default_factory=dict)
    """Hosts that cannot be worked on, and why."""
    readings: dict[str, Reading] = field(default_factory=dict)
    """Hosts as the last plan found them."""
    progress: dict[str, Progress] = field(default_factory=dict)
    outcomes: dict[str, HostOutcome] = field(default_factory=dict)
    """Hosts whose apply has come to its end."""

    @cached_property
    def actor(self) -> Actor:
        """The operator."""
        return self.who()

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
                self.broken[host] = findings_of(host, error)
        return tuple(sorted(unknown))

    def refuse(self, keys: Sequence[NewKey]) -> None:
        """Give up the hosts whose keys the operator did not vouch for."""
        self.broken |= {key.host: (distrusted(key),) for key in keys}

    def plan(self, deadline: float | None = None) -> Plan:
        """What an apply would do on every host, hosts in name order; each may take `deadline` seconds."""
        work = {host: read(self.declared[host], session) for host, session in self.sessions.items()}
        for host, result in drive(work, self.sessions, self._renewed, deadline).items():
            if isinstance(result, Exception):
                self.broken[host] = findings_of(host, result)
            else:
                self.readings[host] = result
            self.listen(Event(host, "planned"))
        broken = {host: HostPlan(host, findings=findings) for host, findings in self.broken.items()}
        plans = {**{host: reading.plan for host, reading in self.readings.items()}, **broken}
        return Plan(self.environment, tuple(plans[host] for host in sorted(plans)))

    def apply(
        self,
        confirmed: Plan,
        rollout: Rollout | None = None,
        *,
        allow_reboot: bool = False,
        break_lock: bool = False,
    ) -> Outcome:
        """Carry out the plan that was confirmed, wave by wave, and prove that nothing is left.

        A host whose changes are no longer those confirmed is refused; a host that fails stops there. Once more
        than `rollout.max_failures` hosts have failed, those that run come to their end and no more are begun.
        """
        how = rollout or Rollout()
        now = partial(lock.take, self.actor, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        taking = partial(now, break_it=break_lock)
        terms = Terms(self.actor, self.listen, taking, allow_reboot=allow_reboot)
        plans = {plan.host: plan for plan in confirmed.hosts}
        self.outcomes = {
            host: HostOutcome(host, findings=plan.findings) for host, plan in plans.items() if plan.findings
        }
        for batch in self._batches(plans, how):
            failed = sum(
                outcome.failed for host, outcome in self.outcomes.items() if not plans[host].findings
            )
            if failed > how.max_failures:
                self.outcomes |= {host: HostOutcome(host, reached=False) for host in batch}
                continue
            self.progress |= {host: Progress() for host in batch}
            work = {host: self._applied(plans[host], terms) for host in batch}
            drive(work, self.sessions, self._renewed, how.deadline)
        return self._outcome()

    def _batches(self, plans: dict[str, HostPlan], how: Rollout) -> Sequence[tuple[str, ...]]:
        """Hosts with something to do in their waves, last those whose record alone is not up to date."""
        stale = [host for host, plan in plans.items() if not plan.changes and not plan.findings]
        changing = {job.host: job.standing for job in self.jobs if plans[job.host].changes}
        changing = {host: standing for host, standing in changing.items() if not plans[host].findings}
        new = [host for host in changing if self.readings[host].receipt is None]
        self.outcomes |= {host: HostOutcome(host) for host in stale if self._recorded(host)}
        unrecorded = tuple(host for host in sorted(stale) if host not in self.outcomes)
        found = [batch for wave in waves(changing, new) for batch in batches(wave, how.batch)]
        return [*found, unrecorded] if unrecorded else found

    def _recorded(self, host: str) -> bool:
        """Whether a host's receipt says what it is and what is wanted of it."""
        reading = self.readings[host]
        if reading.receipt is None:
            return False
        return (reading.receipt.things, reading.receipt.wanted) == (
            reading.things,
            fingerprints(self.declared[host]),
        )

    def interrupted(self) -> Outcome:
        """What had been done on each host when the operator stopped the run."""
        for host, progress in self.progress.items():
            stopped = HostOutcome(host, tuple(progress.done), (interruption(host, progress.current),))
            self.outcomes.setdefault(host, stopped)
        return self._outcome()

    def drift(self, deadline: float | None = None) -> Drift:
        """What changed on every host since its last apply; each may take `deadline` seconds."""
        self.plan(deadline)
        found = [self._drift(host, reading) for host, reading in self.readings.items()]
        found += [HostDrift(host, findings=findings) for host, findings in self.broken.items()]
        return Drift(self.environment, tuple(sorted(found, key=lambda each: each.host)))

    def history(self) -> tuple[dict[str, tuple[Visit, ...]], tuple[Finding, ...]]:
        """The runs that each host has a record of, oldest first, and why there is none of the others."""
        work = {host: _history() for host in self.sessions}
        told: dict[str, tuple[Visit, ...]] = {}
        for host, result in drive(work, self.sessions, self._renewed).items():
            if isinstance(result, Exception):
                self.broken[host] = findings_of(host, result)
            else:
                told[host] = result
        return told, tuple(finding for host in sorted(self.broken) for finding in self.broken[host])

    def _drift(self, host: str, reading: Reading) -> HostDrift:
        if reading.plan.findings:
            return HostDrift(host, reading.receipt, findings=reading.plan.findings)
        seen = tuple(
            Seen(item.operation.capability, item.seen, change(item) if item.changing else None)
            for item in reading.evaluations
        )
        return drift(host, reading.receipt, seen, fingerprints(self.declared[host]))

    def _outcome(self) -> Outcome:
        return Outcome(self.environment, tuple(self.outcomes[host] for host in sorted(self.outcomes)))

    def _applied(self, confirmed: HostPlan, terms: Terms) -> Work[HostOutcome]:
        """The whole course of one host, its outcome noted at once: the run may be stopped before the others'."""
        host = confirmed.host
        progress = self.progress[host]
        try:
            outcome = yield from applied(self.declared[host], confirmed, progress, terms, self.environment)
        except Exception as error:  # noqa: BLE001 - the other hosts go on
            self.broken[host] = findings_of(host, error, progress.current)
            outcome = HostOutcome(host, tuple(progress.done), self.broken[host])
        self.outcomes[host] = outcome
        self.listen(Event(host, "finished"))
        return outcome

    def _renewed(self, host: str) -> Session:
        return self.new_session(self.declared[host].job.connection)

    def _declare(self, job: Job) -> None:
        try:
            self.declared[job.host] = declare(job, self.find_deploy)
        except FindingsError as error:
            self.broken[job.host] = findings_of(job.host, error)


def _history() -> Work[tuple[Visit, ...]]:
    (answer,) = yield (record.READ_AUDIT,)
    return visits(answer.stdout.splitlines())
