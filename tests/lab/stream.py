"""Packets sent without a pause from a host to the internet, and what became of them."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stackctl.lab.shell import inside
from stackctl.lab.spec import NAMES_ADDRESS, LabSpec
from tests.lab.site import Site

ECHOING = str(NAMES_ADDRESS)
PORT = 7777
_LONGEST = 120
"""Seconds after which a stream ends by itself."""

_ECHO = f"""
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], {PORT}))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(64)
    server.sendto(data, peer)
"""

_PROBE = f"""
import json, selectors, socket, sys, time
target, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
waiting, answered, sent = selectors.DefaultSelector(), {{}}, []
waiting.register(sys.stdin, selectors.EVENT_READ)
while time.monotonic() < end + 1:
    now = time.monotonic()
    if now < end and (not sent or now >= sent[-1] + 0.05):
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        probe.setblocking(False)
        try:
            probe.connect((target, {PORT}))
            probe.send(b"x")
            waiting.register(probe, selectors.EVENT_READ, len(sent))
        except OSError:
            probe.close()
        sent.append(now)
    for key, _ in waiting.select(0.01):
        if key.fileobj is sys.stdin:
            waiting.unregister(sys.stdin)
            end = now
            continue
        try:
            key.fileobj.recv(64)
            answered[key.data] = True
        except OSError:
            pass
        waiting.unregister(key.fileobj)
        key.fileobj.close()
good = [sent[number] for number in sorted(answered)]
gaps = [after - before for before, after in zip(good, good[1:])]
print(json.dumps({{"sent": len(sent), "lost": len(sent) - len(answered), "longest": max(gaps, default=999)}}))
"""


@dataclass(frozen=True)
class Stream:
    """How a stream of 20 packets a second fared."""

    sent: int
    lost: int
    longest: float
    """Seconds of the longest pause between two that were answered."""


@contextmanager
def echoing(spec: LabSpec) -> Iterator[None]:
    """The internet sends back what it is sent."""
    command = inside(spec.namespace("internet"), [sys.executable, "-c", _ECHO, ECHOING])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            server.kill()


@contextmanager
def streaming(site: Site, host: str) -> Iterator[list[Stream]]:
    """A stream that is under way while the block runs, and told at its end."""
    told: list[Stream] = []
    command = f"python3 -c {shlex.quote(_PROBE)} {ECHOING} {_LONGEST}"
    process = subprocess.Popen(
        site.entering(host, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    time.sleep(1)
    try:
        yield told
        out, _ = process.communicate(timeout=30)
        told.append(Stream(**json.loads(out)))
    finally:
        process.kill()
        process.wait()
