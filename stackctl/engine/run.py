"""A run over a fleet: connect, plan, and carry out with proof that nothing is left to do."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.job import Job
from stackctl.doctor import general
from stackctl.doctor.ladder import ladder
from stackctl.doctor.rung import Rung
from stackctl.engine import lock, record
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer, Command
from stackctl.engine.course import Reading, applied, fingerprints, read
from stackctl.engine.declare import Declared, declare
from stackctl.engine.describe import change
from stackctl.engine.drive import drive, open_all
from stackctl.engine.examine import examined, looked_over
from stackctl.engine.execute import Progress, Terms
from stackctl.engine.hostkeys import NewKey, UnknownKeyError
from stackctl.engine.hosts import Grants, Hosts, Recorded
from stackctl.engine.meeting import introductions, told
from stackctl.engine.session import Session, SshSession
from stackctl.engine.trouble import distrusted, findings_of, interruption
from stackctl.engine.work import Work
from stackctl.ops.fleet import Told
from stackctl.plan.change import HostOutcome, HostPlan, Plan
from stackctl.plan.drift import Drift, HostDrift, Seen, drift
from stackctl.plan.event import Event, Listen
from stackctl.plan.receipt import Visit, visits

# At its level of debugging pyinfra logs the arguments of facts, and a file's text with its secrets is one.
logging.getLogger("pyinfra").setLevel(logging.INFO)

_Told = TypeVar("_Told")
_SHORT = 30
"""Seconds for a script that only asks."""


class Run(Hosts):
    """Connections and declared operations of the hosts of one command, all in this process."""

    def __init__(
        self,
        environment: str,
        jobs: Sequence[Job],
        find_deploy: Callable[[str], Path],
        listen: Listen,
        who: Callable[[], Actor],
        new_session: Callable[[Connection], Session] = SshSession,
    ) -> None:
        super().__init__(environment, jobs, who)
        self.find_deploy = find_deploy
        self.listen = listen
        self.new_session = new_session
        self.sessions: dict[str, Session] = {}
        self.declared: dict[str, Declared] = {}
        self.broken: dict[str, tuple[Finding, ...]] = {}
        """Hosts that cannot be worked on, and why."""
        self.readings: dict[str, Reading] = {}
        """Hosts as the last plan found them."""
        self.progress: dict[str, Progress] = {}
        """Hosts that the last `carry_out` took up."""
        self.done: dict[str, HostOutcome] = {}
        """Those of them that have come to their end."""

    def close(self) -> None:
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

    def meet(self, making: Collection[str] = ()) -> dict[str, Mapping[str, str]]:
        """Have the hosts tell what others have to know of them; those of `making` make first what they lack."""
        those = {host: introductions(self.declared[host].job) for host in self.sessions}
        work = {host: told(each, make=host in making) for host, each in those.items() if each}
        found = drive(work, self.sessions, self._renewed) if work else {}
        return {host: {} if isinstance(each, Exception) else each for host, each in found.items()}

    def hear(self, values: Told) -> None:
        """Let every host know what all have told."""
        for declared in self.declared.values():
            declared.hear(values)

    def _planned(self, deadline: float | None) -> Plan:
        """The plan, once the hosts have met."""
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

    def recorded(self) -> Mapping[str, Recorded]:
        """The worth of the receipts of all hosts that were planned."""
        return {host: self._recorded(host, reading) for host, reading in self.readings.items()}

    def carry_out(
        self, plans: Mapping[str, HostPlan], grants: Grants, news: Told
    ) -> Mapping[str, HostOutcome]:
        """Apply these plans side by side, each noted as it ends."""
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        actor = self.who()
        locking = partial(lock.take, actor, since, break_it=grants.break_lock)
        terms = Terms(actor, self.listen, locking, allow_reboot=grants.allow_reboot, news=news)
        self.progress, self.done = {host: Progress() for host in plans}, {}
        work = {host: self._applied(plan, terms) for host, plan in plans.items()}
        drive(work, self.sessions, self._renewed, grants.deadline)
        return self.done

    def stopped(self) -> Mapping[str, HostOutcome]:
        """How far each host had come."""
        stopped = {
            host: HostOutcome(host, tuple(progress.done), (interruption(host, progress.current),))
            for host, progress in self.progress.items()
        }
        return {**stopped, **self.done}

    def _drifted(self, deadline: float | None) -> Drift:
        """The drift, once the hosts have met."""
        self._planned(deadline)
        found = [self._drift(host, reading) for host, reading in self.readings.items()]
        found += [HostDrift(host, findings=findings) for host, findings in self.broken.items()]
        return Drift(self.environment, tuple(sorted(found, key=lambda each: each.host)))

    def history(self) -> tuple[dict[str, tuple[Visit, ...]], tuple[Finding, ...]]:
        """The runs that each host has a record of, oldest first, and why there is none of the others."""
        return self._told({host: _history() for host in self.sessions})

    def examine(self, gpu_only: bool) -> tuple[dict[str, tuple[Rung, ...]], tuple[Finding, ...]]:
        """The doctor's rungs of each host, those of its GPUs last, and why there are none of the others."""
        return self._told(
            {host: _examination(self.declared[host], gpu_only=gpu_only) for host in self.sessions}
        )

    def ask(
        self, scripts: Mapping[str, Sequence[str]]
    ) -> tuple[dict[str, tuple[Answer, ...]], tuple[Finding, ...]]:
        """What came of these short scripts on each host, in one exchange, and why nothing did on the others."""
        return self._told({host: _asked(scripts[host]) for host in self.sessions if host in scripts})

    def _told(self, work: Mapping[str, Work[_Told]]) -> tuple[dict[str, _Told], tuple[Finding, ...]]:
        """What came of this on each host, and why nothing did on the others."""
        told: dict[str, _Told] = {}
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

    def _recorded(self, host: str, reading: Reading) -> Recorded:
        if reading.receipt is None:
            return Recorded(new=True, current=False)
        kept = (reading.receipt.things, reading.receipt.wanted)
        return Recorded(new=False, current=kept == (reading.things, fingerprints(self.declared[host])))

    def _applied(self, confirmed: HostPlan, terms: Terms) -> Work[HostOutcome]:
        """The whole course of one host, its outcome noted at once: the run may be stopped before the others'."""
        host = confirmed.host
        progress = self.progress[host]
        try:
            outcome = yield from applied(self.declared[host], confirmed, progress, terms, self.environment)
        except Exception as error:  # noqa: BLE001 - the other hosts go on
            self.broken[host] = findings_of(host, error, progress.current)
            outcome = HostOutcome(host, tuple(progress.done), self.broken[host])
        self.done[host] = outcome
        self.listen(Event(host, "finished"))
        return outcome

    def _renewed(self, host: str) -> Session:
        return self.new_session(self.declared[host].job.connection)

    def _declare(self, job: Job) -> None:
        try:
            self.declared[job.host] = declare(job, self.find_deploy)
        except FindingsError as error:
            self.broken[job.host] = findings_of(job.host, error)


def _examination(declared: Declared, *, gpu_only: bool) -> Work[tuple[Rung, ...]]:
    case = yield from examined(declared.job)
    gpus = () if case is None else ladder(case)
    if gpu_only:
        return gpus
    look, receipt = yield from looked_over(declared.job)
    records = general.Records(receipt, fingerprints(declared))
    return (*general.rungs(declared.job, look, records), *gpus)


def _asked(scripts: Sequence[str]) -> Work[tuple[Answer, ...]]:
    return tuple((yield [Command(script, _SHORT) for script in scripts]))


def _history() -> Work[tuple[Visit, ...]]:
    (answer,) = yield (record.READ_AUDIT,)
    return visits(answer.stdout.splitlines())
