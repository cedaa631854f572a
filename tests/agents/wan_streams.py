"""What users of a host would notice: datagrams and connections that go on all the time, and their gaps."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol, TypeVar

from stackctl.namespace import within

PULSE = 0.05
"""Seconds between two datagrams."""
PATIENCE = 1.5
"""Seconds after which a datagram is lost."""


class Stream(Protocol):
    """Something that goes on in a thread of its own until it is told to stop."""

    stopping: threading.Event

    def go_on(self) -> None: ...


Going = TypeVar("Going", bound=Stream)


@contextlib.contextmanager
def going_on(namespace: str, stream: Going) -> Iterator[Going]:
    """The stream at work inside a namespace."""
    thread = threading.Thread(target=within, args=(namespace, stream.go_on))
    thread.start()
    try:
        yield stream
    finally:
        stream.stopping.set()
        thread.join()


class Datagrams:
    """A datagram from a fresh socket 20 times a second, each a flow of its own."""

    def __init__(self, address: str = "9.9.9.9", port: int = 7) -> None:
        self.stopping = threading.Event()
        self.sources: list[tuple[float, str]] = []
        """When the address was taken from which a datagram left."""
        self._whom = (address, port)
        self._sent: list[float] = []
        self._answered: set[int] = set()

    def go_on(self) -> None:
        waiting: dict[socket.socket, int] = {}
        with selectors.DefaultSelector() as selector:
            while not self.stopping.is_set():
                begun = time.monotonic()
                self._send(selector, waiting)
                for key, _ in selector.select(0):  # what came while this thread did not run is not lost
                    self._hear(selector, waiting, key.data)
                for late in [each for each, index in waiting.items() if begun - self._sent[index] > PATIENCE]:
                    self._done(selector, waiting, late)
                while (left := begun + PULSE - time.monotonic()) > 0:
                    for key, _ in selector.select(left):
                        self._hear(selector, waiting, key.data)
            for each in list(waiting):
                self._done(selector, waiting, each)

    def _send(self, selector: selectors.BaseSelector, waiting: dict[socket.socket, int]) -> None:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        waiting[opened] = len(self._sent)
        self._sent.append(time.monotonic())
        selector.register(opened, selectors.EVENT_READ, opened)
        with contextlib.suppress(OSError):
            opened.connect(self._whom)
            self.sources.append((self._sent[-1], opened.getsockname()[0]))
            opened.send(b"pulse")

    def _hear(
        self, selector: selectors.BaseSelector, waiting: dict[socket.socket, int], opened: socket.socket
    ) -> None:
        with contextlib.suppress(OSError):
            opened.recv(64)
            self._answered.add(waiting[opened])
        self._done(selector, waiting, opened)

    def _done(
        self, selector: selectors.BaseSelector, waiting: dict[socket.socket, int], opened: socket.socket
    ) -> None:
        selector.unregister(opened)
        opened.close()
        del waiting[opened]

    def gap(self, since: float = 0.0) -> float:
        """Seconds between two answered datagrams, at most, where some in between were lost.

        A time in which we sent nothing, since this machine had other things to do, is no gap.
        """
        longest, last, lost = 0.0, since or self._sent[0], False
        for index, at in enumerate(self._sent):
            if at < since:
                continue
            if index in self._answered:
                longest = max(longest, at - last) if lost else longest
                last, lost = at, False
            else:
                lost = True
        return max(longest, self._sent[-1] - last) if lost else longest

    def lost(self, since: float, until: float) -> int:
        """Datagrams sent in that time that were never answered."""
        sent = [index for index, at in enumerate(self._sent) if since <= at < until]
        return sum(index not in self._answered for index in sent)


class Connection:
    """A word over one TCP connection 10 times a second; dialled anew only when it breaks."""

    def __init__(self, address: str = "9.9.9.9", port: int = 7) -> None:
        self.stopping = threading.Event()
        self.dialled = 0
        """Connections there were."""
        self.times: list[float] = []
        """When a word came back."""
        self._whom = (address, port)

    def go_on(self) -> None:
        while not self.stopping.is_set():
            with contextlib.suppress(OSError), socket.create_connection(self._whom, 1) as opened:
                self.dialled += 1
                self._talk(opened)

    def _talk(self, opened: socket.socket) -> None:
        opened.settimeout(0.2)
        while not self.stopping.is_set():
            opened.sendall(b"word")
            got = b""
            while len(got) < 4 and not self.stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    part = opened.recv(4 - len(got))
                    if not part:
                        return
                    got += part
            self.times.append(time.monotonic())
            time.sleep(0.1)

    def gap(self) -> float:
        """Seconds of the longest silence, the one it may be in at present included."""
        times = [*self.times, time.monotonic()]
        return max(late - early for early, late in pairwise(times))
