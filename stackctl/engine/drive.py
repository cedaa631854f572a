"""Many hosts side by side: evaluation here in one thread, exchanges with hosts in many."""

import queue
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    pool = ThreadPoolExecutor(max_workers=max(1, min(_MOST_THREADS, len(work))))

    def advance(host: str, arrival: Arrival) -> None:
        try:
            batch = _resume(work[host], arrival)
        except StopIteration as stop:
            finished[host] = stop.value
        except Exception as error:  # noqa: BLE001 - the other hosts go on
            finished[host] = error
        else:
            pool.submit(_exchange, host, sessions[host], batch, arrived)

    try:
        for host in work:
            advance(host, None)
        while len(finished) < len(work):
            advance(*arrived.get())
    finally:
        # An exchange in the middle ends when its session is closed; waiting for it here could take minutes.
        pool.shutdown(wait=False, cancel_futures=True)
    return finished


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
    failed: dict[str, Exception] = {}

    def connect(host: str) -> None:
        try:
            sessions[host].open()
        except Exception as error:  # noqa: BLE001 - kept for its host
            sessions[host].close()
            failed[host] = error

    if sessions:
        with ThreadPoolExecutor(max_workers=min(_MOST_THREADS, len(sessions))) as pool:
            list(pool.map(connect, sessions))
    return failed
