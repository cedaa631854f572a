"""A run over many hosts, spread over processes: evaluating is work for the processor, and Python takes one core.

Each process holds a share of the hosts with their connections from the first command to the last.
"""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

from stackctl.core.connection import Connection
from stackctl.core.finding import FailureError, Finding
from stackctl.core.job import Job
from stackctl.doctor.rung import Rung
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Answer
from stackctl.engine.hostkeys import NewKey
from stackctl.engine.hosts import Grants, Hosts, Recorded
from stackctl.engine.run import Run
from stackctl.engine.session import Session, SshSession
from stackctl.ops.fleet import Told
from stackctl.plan.change import HostOutcome, HostPlan, Plan
from stackctl.plan.drift import Drift
from stackctl.plan.event import Event, Listen
from stackctl.plan.receipt import Visit

_FORK = multiprocessing.get_context("fork")
"""A forked process has everything imported; the threads that forking would lose are not there yet."""

_MANY = 64
"""Hosts from which on starting more processes pays."""

_INTERRUPT = "interrupt"
_INTERRUPTED = signal.SIGUSR1
_CARRY_OUT = "carry_out"
_GONE = Finding(
    "stackctl",
    "a process of this run is gone: somebody or the kernel's out-of-memory killer ended it",
    "see `journalctl -k`, then apply again: it takes up where this stopped",
)


def spread(
    environment: str,
    jobs: Sequence[Job],
    find_deploy: Callable[[str], Path],
    listen: Listen,
    who: Callable[[], Actor],
    new_session: Callable[[Connection], Session] = SshSession,
) -> Hosts:
    """One process for a few hosts; for many, as many as there are cores."""
    processes = len(os.sched_getaffinity(0))
    if len(jobs) < _MANY or processes < 2:
        return Run(environment, jobs, find_deploy, listen, who, new_session)
    return Shards(environment, jobs, find_deploy, listen, who, processes, new_session)


@dataclass(frozen=True)
class _Failed:
    """An exception on its way back."""

    error: BaseException


@dataclass
class _Shard:
    """One process, seen from here."""

    process: BaseProcess
    pipe: Pipe
    hosts: frozenset[str]

    def of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What of the values is about its hosts."""
        return {host: value for host, value in values.items() if host in self.hosts}


class Shards(Hosts):
    """Hosts in several processes; each command goes to all that it concerns at the same time."""

    def __init__(
        self,
        environment: str,
        jobs: Sequence[Job],
        find_deploy: Callable[[str], Path],
        listen: Listen,
        who: Callable[[], Actor],
        processes: int,
        new_session: Callable[[Connection], Session] = SshSession,
    ) -> None:
        super().__init__(environment, jobs, who)
        self.listen = listen
        self.number = 0
        """Of the last call."""
        self.shards: list[_Shard] = []
        for number in range(min(processes, len(jobs))):
            share = jobs[number::processes]
            start = partial(Run, environment, share, find_deploy, new_session=new_session)
            self.shards.append(self._started(start, frozenset(job.host for job in share)))

    def connect(self) -> tuple[NewKey, ...]:
        """Connect to what is not yet."""
        return tuple(sorted(key for keys in self._all("connect") for key in keys))

    def refuse(self, keys: Sequence[NewKey]) -> None:
        """Give up hosts."""
        self._call({shard.process.pid: ("refuse", self._about(shard, keys)) for shard in self.shards})

    def meet(self, making: Collection[str] = ()) -> Mapping[str, Mapping[str, str]]:
        """Have the hosts tell what others have to know of them."""
        return _merged(self._all("meet", making))

    def hear(self, values: Told) -> None:
        """Let every host know what all have told."""
        self._all("hear", values)

    def _planned(self, deadline: float | None) -> Plan:
        """What an apply would do on every host."""
        plans = [plan for part in self._all("_planned", deadline) for plan in part.hosts]
        return Plan(self.environment, tuple(sorted(plans, key=lambda plan: plan.host)))

    def recorded(self) -> Mapping[str, Recorded]:
        """The worth of the receipts."""
        return _merged(self._all("recorded"))

    def carry_out(
        self, plans: Mapping[str, HostPlan], grants: Grants, news: Told
    ) -> Mapping[str, HostOutcome]:
        """Apply these plans side by side."""
        actor = self.who()
        work = {
            shard.process.pid: ("carry_out", (actor, shard.of(plans), grants, news))
            for shard in self.shards
            if shard.of(plans)
        }
        return _merged(self._call(work))

    def stopped(self) -> Mapping[str, HostOutcome]:
        """How far the hosts had come."""
        return _merged(self._all("stopped"))

    def _drifted(self, deadline: float | None) -> Drift:
        """What changed on every host since its last apply."""
        found = [host for part in self._all("_drifted", deadline) for host in part.hosts]
        return Drift(self.environment, tuple(sorted(found, key=lambda each: each.host)))

    def history(self) -> tuple[Mapping[str, tuple[Visit, ...]], tuple[Finding, ...]]:
        """The runs that each host has a record of."""
        parts = self._all("history")
        return _merged(told for told, _ in parts), tuple(finding for _, found in parts for finding in found)

    def examine(self, gpu_only: bool) -> tuple[Mapping[str, tuple[Rung, ...]], tuple[Finding, ...]]:
        """The doctor's rungs of each host."""
        parts = self._all("examine", gpu_only)
        return _merged(told for told, _ in parts), tuple(finding for _, found in parts for finding in found)

    def ask(
        self, scripts: Mapping[str, Sequence[str]]
    ) -> tuple[Mapping[str, tuple[Answer, ...]], tuple[Finding, ...]]:
        """What came of these short scripts on each host."""
        parts = self._all("ask", scripts)
        return _merged(told for told, _ in parts), tuple(finding for _, found in parts for finding in found)

    def close(self) -> None:
        """Let the processes end; they leave their hosts."""
        for shard in self.shards:
            shard.pipe.close()
        for shard in self.shards:
            shard.process.join()
        self.shards = []

    def _started(self, start: Callable[..., Run], hosts: frozenset[str]) -> _Shard:
        ours, theirs = _FORK.Pipe()
        others = [shard.pipe for shard in self.shards]
        process = _FORK.Process(target=_serve, args=(start, theirs, [ours, *others]), daemon=True)
        process.start()
        theirs.close()
        return _Shard(process, ours, hosts)

    @staticmethod
    def _about(shard: _Shard, keys: Sequence[NewKey]) -> tuple[list[NewKey]]:
        return ([key for key in keys if key.host in shard.hosts],)

    def _all(self, name: str, *arguments: Any) -> list[Any]:
        return self._call({shard.process.pid: (name, arguments) for shard in self.shards})

    def _call(self, calls: Mapping[int | None, tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """Send each shard its call and collect the results, telling events as they come."""
        self.number += 1
        waiting = [shard.pipe for shard in self.shards if shard.process.pid in calls]
        for shard in self.shards:
            if shard.pipe in waiting:
                _send(shard.pipe, (self.number, *calls[shard.process.pid]))
        try:
            return [_value(result) for result in self._collected(waiting)]
        except KeyboardInterrupt:
            for pipe in waiting:
                _send(pipe, (self.number, _INTERRUPT, ()))
            list(self._collected(waiting))
            raise

    def _collected(self, waiting: list[Pipe]) -> Iterator[Any]:
        """Results as they come; whoever has answered is no longer in `waiting`."""
        while waiting:
            for ready in cast("list[Pipe]", wait(waiting)):
                try:
                    number, said = ready.recv()
                except (EOFError, OSError) as error:
                    raise FailureError(_GONE) from error
                if isinstance(said, Event):
                    self.listen(said)
                elif number == self.number:  # an answer to a call that was interrupted may come late
                    waiting.remove(ready)
                    yield said


def _send(pipe: Pipe, call: tuple[Any, ...]) -> None:
    try:
        pipe.send(call)
    except OSError as error:
        raise FailureError(_GONE) from error


def _value(result: Any) -> Any:
    if isinstance(result, _Failed):
        raise result.error
    return result


def _merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {host: value for part in parts for host, value in part.items()}


def _serve(start: Callable[..., Run], pipe: Pipe, others: Sequence[Pipe]) -> None:
    """What a process does: one call after the other, until the first process closes the pipe or dies."""
    for other in others:  # else this process would keep the others' pipes open
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the operator's Ctrl-C is for the first process alone
    signal.signal(_INTERRUPTED, signal.default_int_handler)
    calls: queue.SimpleQueue[tuple[int, str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(pipe, calls), daemon=True).start()
    actors: list[Actor] = []
    run = start(listen=lambda event: pipe.send((0, event)), who=lambda: actors[-1])
    number = 0
    while True:
        try:
            number, name, arguments = calls.get()
            if name == _CARRY_OUT:
                actors.append(arguments[0])
                arguments = arguments[1:]
            pipe.send((number, getattr(run, name)(*arguments)))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - handed to the first process
            pipe.send((number, _Failed(error)))


def _hear(pipe: Pipe, calls: "queue.SimpleQueue[Any]") -> None:
    """Take calls and interruptions; with the first process gone nobody is there to work for."""
    while True:
        try:
            call = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        if call[1] == _INTERRUPT:
            signal.pthread_kill(threading.main_thread().ident or 0, _INTERRUPTED)
        else:
            calls.put(call)
