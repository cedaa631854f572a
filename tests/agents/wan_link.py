"""A cable between two network namespaces that loses and delays on demand, for kernels without netem.

`wan_link.py NAMESPACE INTERFACE NAMESPACE INTERFACE` reads lines `{"loss": 0.3, "delay": 0.6}` from its standard
input until that ends: the share of packets that are lost on their way from the first to the second, and the seconds
that every packet takes in either direction.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import time

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_AT_ONCE = 256
"""Packets that are taken from one side before the other is looked at."""


def _tun(namespace: str, interface: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    for descriptor in (there,):
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), namespace)
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), _IFF_TUN | _IFF_NO_PI))
    subprocess.run(["ip", "link", "set", "dev", interface, "up"], check=True)
    libc.setns(home, _CLONE_NEWNET)
    os.close(home)
    os.close(there)
    return made


class Link:
    """Packets on their way."""

    def __init__(self, first: int, second: int) -> None:
        self.loss = self.delay = 0.0
        self._ends = {first: second, second: first}
        self._lossy = first
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def set(self, line: str) -> None:
        wanted = json.loads(line)
        self.loss, self.delay = wanted.get("loss", 0.0), wanted.get("delay", 0.0)

    def take(self, end: int) -> None:
        """Read what waits at one end."""
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(end, 65536)
            except BlockingIOError:
                return
            if end == self._lossy and random.random() < self.loss:  # noqa: S311 - weather, not a secret
                continue
            self._count += 1
            entry = (time.monotonic() + self.delay, self._count, self._ends[end], packet)
            heapq.heappush(self._queue, entry)

    def give(self) -> float | None:
        """Write what is due; seconds until more is, or None."""
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, _, end, packet = heapq.heappop(self._queue)
            try:
                os.write(end, packet)
            except OSError:
                continue  # an interface that is down loses what it is given
        return max(0.0, self._queue[0][0] - now) if self._queue else None


def main() -> None:
    first, second = _tun(*sys.argv[1:3]), _tun(*sys.argv[3:5])
    link = Link(first, second)
    os.write(1, b"ready\n")
    with selectors.DefaultSelector() as selector:
        for end in (0, first, second):
            selector.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(link.give()):
                if key.fd:
                    link.take(key.fd)
                elif line := sys.stdin.readline():
                    link.set(line)
                else:
                    return


if __name__ == "__main__":
    main()
