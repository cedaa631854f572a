"""Many hosts side by side: evaluation here in one thread, exchanges with hosts in many."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from stackctl.engine.batch import Answer
from stackctl.engine.session import Session
from stackctl.engine.work import DeadlineError, NotBackError, Reconnect, Request, Work

T = TypeVar("T")

Arrival = Sequence[Answer] | Exception | None
"""What resumes a host's work: answers, what went wrong instead, or None to begin."""

Sessions = MutableMapping[str, Session]
Renew = Callable[[str], Session]
"""Makes a fresh session for a host, not opened yet."""

_MOST_THREADS = 128

_LONGEST_PAUSE = 5.0  # OpenSSH shuts out for a while who fails to log in many times in a row


def drive(
    work: Mapping[str, Work[T]], sessions: Sessions, renew: Renew, deadline: float | None = None
) -> dict[str, T | Exception]:
    """Advance every host's work as its answers arrive; what goes wrong on one host stays with it.

    The generators run in the calling thread, one at a time, since pyinfra's context is process-wide. A host
    that is not done after `deadline` seconds is given up: DeadlineError is thrown into its work.
    """
    return _Drive(work, sessions, renew, deadline).run()


class _Drive(Generic[T]):
    """The hosts of one call, and what they wait for."""

    def __init__(
        self, work: Mapping[str, Work[T]], sessions: Sessions, renew: Renew, deadline: float | None
    ) -> None:
        self.work = work
        self.sessions = sessions
        self.renew = renew
        self.limit = deadline
        self.end = None if deadline is None else time.monotonic() + deadline
        self.finished: dict[str, T | Exception] = {}
        self.arrived: queue.SimpleQueue[tuple[str, Arrival]] = queue.SimpleQueue()
        self.threads = _Threads(len(work))

    def run(self) -> dict[str, T | Exception]:
        try:
            for host in self.work:
                self._advance(host, None)
            while len(self.finished) < len(self.work):
                try:
                    host, arrival = self.arrived.get(timeout=self._left())
                except queue.Empty:
                    self._give_up()
                else:
                    if host not in self.finished:  # else it was given up, and its thread comes late
                        self._advance(host, arrival)
        finally:
            self.threads.dismiss()
        return self.finished

    def _left(self) -> float | None:
        return None if self.end is None else max(0.0, self.end - time.monotonic())

    def _give_up(self) -> None:
        for host in self.work.keys() - self.finished.keys():
            self.sessions[host].close()
            self._advance(host, DeadlineError(f"not done after {self.limit:.0f} s"))
            # Whatever else its work asks for now, it gets no answer.
            self.finished.setdefault(host, DeadlineError(f"not done after {self.limit:.0f} s"))

    def _advance(self, host: str, arrival: Arrival) -> None:
        try:
            request = _resume(self.work[host], arrival)
        except StopIteration as stop:
            self.finished[host] = stop.value
        except Exception as error:  # noqa: BLE001 - the other hosts go on
            self.finished[host] = error
        else:
            self.threads.start(partial(self._serve, host, request))

    def _serve(self, host: str, request: Request) -> None:
        try:
            if isinstance(request, Reconnect):
                self._reconnect(host, request)
                self.arrived.put((host, ()))
            else:
                self.arrived.put((host, self.sessions[host].run(request)))
        except Exception as error:  # noqa: BLE001 - handed to the host's own work
            self.arrived.put((host, error))

    def _reconnect(self, host: str, request: Reconnect) -> None:
        time.sleep(request.settle)
        end = time.monotonic() + request.within
        pause = 1.0
        while True:
            fresh = self.renew(host)
            try:
                fresh.open()
            except Exception as error:  # any reason not to be let in is one to try again
                fresh.close()
                if time.monotonic() > end:
                    raise NotBackError(str(error)) from error
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                old, self.sessions[host] = self.sessions[host], fresh
                fresh.round_trips += old.round_trips
                old.close()
                return


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


def _resume(work: Work[T], arrival: Arrival) -> Request:
    if isinstance(arrival, Exception):
        return work.throw(arrival)
    return next(work) if arrival is None else work.send(arrival)


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
