"""What a command can do with the hosts it reached, whether one process holds them all or several do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from stackctl.core.finding import Finding
from stackctl.core.job import Job
from stackctl.doctor.rung import Rung
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer
from stackctl.engine.hostkeys import NewKey
from stackctl.ops.fleet import LEFT_OUT, Told
from stackctl.plan.change import HostOutcome, HostPlan, Outcome, Plan
from stackctl.plan.drift import Drift
from stackctl.plan.receipt import Visit
from stackctl.plan.rollout import Rollout, batches, waves


@dataclass(frozen=True)
class Grants:
    """What the operator allows an apply."""

    allow_reboot: bool = False
    break_lock: bool = False
    deadline: float | None = None
    """Seconds that each host may take."""


@dataclass(frozen=True)
class Recorded:
    """What the receipt of a host is worth, as the last plan found it."""

    new: bool
    """There is none: no apply has come to its end there yet."""
    current: bool
    """It says what the host is and what is wanted of it."""


class Hosts(ABC):
    """Connected hosts of one environment; use as a context manager."""

    def __init__(self, environment: str, jobs: Sequence[Job], who: Callable[[], Actor]) -> None:
        """`who` is asked once, when something is to be recorded: git takes its time."""
        self.environment = environment
        self.jobs = jobs
        self.who = who
        self.outcomes: dict[str, HostOutcome] = {}
        """Hosts whose apply has come to its end, or will not be begun any more."""
        self.planned: tuple[str, ...] = ()
        """All hosts of the last apply."""

    def __enter__(self) -> Self:
        """Nothing is touched yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave all hosts; a command still running there ends by itself."""
        self.close()

    @abstractmethod
    def connect(self) -> tuple[NewKey, ...]:
        """Connect to what is not yet; returns the host keys that the operator must vouch for first."""

    @abstractmethod
    def refuse(self, keys: Sequence[NewKey]) -> None:
        """Give up the hosts whose keys the operator did not vouch for."""

    def plan(self, deadline: float | None = None) -> Plan:
        """What an apply would do on every host, hosts in name order; each may take `deadline` seconds."""
        self._meet()
        return self._planned(deadline)

    def drift(self, deadline: float | None = None) -> Drift:
        """What changed on every host since its last apply; each may take `deadline` seconds."""
        self._meet()
        return self._drifted(deadline)

    @abstractmethod
    def _planned(self, deadline: float | None) -> Plan:
        """The plan, once the hosts have met."""

    @abstractmethod
    def _drifted(self, deadline: float | None) -> Drift:
        """The drift, once the hosts have met."""

    @abstractmethod
    def meet(self, making: Collection[str] = ()) -> Told:
        """Have the hosts tell what others have to know of them; those of `making` make first what they lack."""

    @abstractmethod
    def hear(self, values: Told) -> None:
        """Let every host know what all have told."""

    @abstractmethod
    def recorded(self) -> Mapping[str, Recorded]:
        """The worth of the receipts of all hosts that were planned."""

    @abstractmethod
    def carry_out(
        self, plans: Mapping[str, HostPlan], grants: Grants, news: Told
    ) -> Mapping[str, HostOutcome]:
        """Apply these plans side by side; what an interrupted call had done is known to `stopped`.

        The hosts are compared with what was confirmed as they were heard then, and changed with the `news`.
        """

    @abstractmethod
    def stopped(self) -> Mapping[str, HostOutcome]:
        """How far the hosts had come that an interrupted `carry_out` was at."""

    @abstractmethod
    def history(self) -> tuple[Mapping[str, tuple[Visit, ...]], tuple[Finding, ...]]:
        """The runs that each host has a record of, oldest first, and why there is none of the others."""

    @abstractmethod
    def examine(self, gpu_only: bool) -> tuple[Mapping[str, tuple[Rung, ...]], tuple[Finding, ...]]:
        """The doctor's rungs of each host, those of its GPUs last, and why there are none of the others."""

    @abstractmethod
    def ask(
        self, scripts: Mapping[str, Sequence[str]]
    ) -> tuple[Mapping[str, tuple[Answer, ...]], tuple[Finding, ...]]:
        """What came of these short scripts on each host, in one exchange, and why nothing did on the others."""

    @abstractmethod
    def close(self) -> None:
        """Leave all hosts."""

    def apply(self, confirmed: Plan, how: Rollout | None = None, grants: Grants | None = None) -> Outcome:
        """Carry out the plan that was confirmed, wave by wave, and prove that nothing is left.

        A host whose changes are no longer those confirmed is refused; a host that fails stops there. Once more
        than `how.max_failures` hosts have failed, those that run come to their end and no more are begun.
        """
        how, grants = how or Rollout(), grants or Grants()
        plans = {plan.host: plan for plan in confirmed.hosts}
        self.planned = tuple(plans)
        self.outcomes = {
            host: HostOutcome(host, findings=plan.findings) for host, plan in plans.items() if plan.findings
        }
        unplanned = len(self.outcomes)
        told = self.meet([plan.host for plan in confirmed.hosts if plan.changes]) if confirmed.changes else {}
        news = {
            host: {**values, LEFT_OUT: "yes"} if plans.get(host, _NOTHING).findings else values
            for host, values in told.items()
            if values
        }
        for batch in self._batches(plans, how):
            failed = sum(outcome.failed for outcome in self.outcomes.values()) - unplanned
            if failed > how.max_failures:
                self.outcomes |= {host: HostOutcome(host, reached=False) for host in batch}
            else:
                self.outcomes |= self.carry_out({host: plans[host] for host in batch}, grants, news)
        return self._outcome()

    def interrupted(self) -> Outcome:
        """What had been done on each host when the operator stopped the run."""
        unreached = {host: HostOutcome(host, reached=False) for host in self.planned}
        self.outcomes = {**unreached, **self.stopped(), **self.outcomes}
        return self._outcome()

    def _meet(self) -> None:
        self.hear(self.meet())

    def _batches(self, plans: Mapping[str, HostPlan], how: Rollout) -> list[tuple[str, ...]]:
        """Hosts with something to do in their waves, last those of which only the record is not current."""
        records = self.recorded()
        planned = {host: plan for host, plan in plans.items() if not plan.findings}
        changing = {job.host: job.standing for job in self.jobs if planned.get(job.host, _NOTHING).changes}
        found = waves(changing, [host for host in changing if records[host].new])
        idle = [host for host in sorted(planned) if host not in changing]
        self.outcomes |= {host: HostOutcome(host) for host in idle if records[host].current}
        unrecorded = tuple(host for host in idle if not records[host].current)
        whole = [*found, unrecorded] if unrecorded else [*found]
        return [batch for wave in whole for batch in batches(wave, how.batch)]

    def _outcome(self) -> Outcome:
        return Outcome(self.environment, tuple(self.outcomes[host] for host in sorted(self.outcomes)))


_NOTHING = HostPlan("")
