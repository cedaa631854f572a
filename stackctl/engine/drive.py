"""Many hosts side by side: evaluation here in one thread, exchanges with hosts in many."""

import queue
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from stackctl.engine.batch import Answer, Command
from stackctl.engine.session import Session

T = TypeVar("T")
Work = Generator[Sequence[Command], Sequence[Answer], T]
"""A host's course of action: yields batches for its session, is sent their answers, returns its result."""

Arrival = Sequence[Answer] | Exception | None
"""What resumes a host's work: answers, what went wrong instead, or None to begin."""

_MOST_THREADS = 128


def drive(work: Mapping[str, Work[T]], sessions: Mapping[str, Session]) -> dict[str, T | Exception]:
    """Advance every host's work as its answers arrive; what goes wrong on one host stays with it.

    The generators run in the calling thread, one at a time, since pyinfra's context is process-wide.
    """
    finished: dict[str, T | Exception] = {}
    arrived: queue.SimpleQueue[tuple[str, Arrival]] = queue.SimpleQueue()
    threads = _Threads(len(work))

    def advance(host: str, arrival: Arrival) -> None:
        try:
            batch = _resume(work[host], arrival)
        except StopIteration as stop:
            finished[host] = stop.value
        except Exception as error:  # noqa: BLE001 - the other hosts go on
            finished[host] = error
        else:
            threads.start(partial(_exchange, host, sessions[host], batch, arrived))

    try:
        for host in work:
            advance(host, None)
        while len(finished) < len(work):
            advance(*arrived.get())
    finally:
        threads.dismiss()
    return finished


class _Threads:
    """Threads for exchanges with hosts, which are never waited for.

    Those of `concurrent.futures` would keep an interrupted program alive until the last host has answered.
    """

    def __init__(self, hosts: int) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._count = min(_MOST_THREADS, hosts)
        for _ in range(self._count):
            threading.Thread(target=self._work, daemon=True).start()

    def start(self, task: Callable[[], None]) -> None:
        """Have the next free thread do it."""
        self._tasks.put(task)

    def dismiss(self) -> None:
        """Let every thread end as soon as it is free."""
        for _ in range(self._count):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


def _resume(work: Work[T], arrival: Arrival) -> Sequence[Command]:
    if isinstance(arrival, Exception):
        return work.throw(arrival)
    return next(work) if arrival is None else work.send(arrival)


def _exchange(
    host: str, session: Session, batch: Sequence[Command], arrived: "queue.SimpleQueue[tuple[str, Arrival]]"
) -> None:
    try:
        arrived.put((host, session.run(batch)))
    except Exception as error:  # noqa: BLE001 - handed to the host's own work
        arrived.put((host, error))


def open_all(sessions: Mapping[str, Session]) -> dict[str, Exception]:
    """Connect to all hosts at once; the errors of those that could not be reached."""
    opened: queue.SimpleQueue[tuple[str, Exception | None]] = queue.SimpleQueue()
    threads = _Threads(len(sessions))
    try:
        for host, session in sessions.items():
            threads.start(partial(_open, host, session, opened))
        results = dict(opened.get() for _ in sessions)
    except BaseException:
        for session in sessions.values():
            session.close()
        raise
    finally:
        threads.dismiss()
    return {host: error for host, error in results.items() if error is not None}


def _open(host: str, session: Session, opened: "queue.SimpleQueue[tuple[str, Exception | None]]") -> None:
    try:
        session.open()
    except Exception as error:  # noqa: BLE001 - kept for its host
        session.close()
        opened.put((host, error))
    else:
        opened.put((host, None))
