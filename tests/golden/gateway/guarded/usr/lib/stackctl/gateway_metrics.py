# Owned by stackctl: edits show as drift and are undone by the next apply.
"""Makes histograms of the gateway's log: `gateway_metrics.py FILE`, in any Python 3.10 or later.

HAProxy sends a line for each request once its answer has ended. They come as datagrams on loopback, and what was
counted is answered to whoever gets `/metrics/models` there. Labels are names that FILE has; a client makes none.
"""

import json
import re
import socket
import socketserver
import sys
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600)
"""From the answer of a classifier to a long text that is not streamed; 2 s is what is often promised of a queue."""
BYTES = tuple(1024 * 4**power for power in range(10))
"""From 1 KiB, a question, to 256 MiB, a recording."""
HISTOGRAMS = {
    "request_duration_seconds": (
        SECONDS,
        "From a request's last byte to its answer's; of whole answers with a status of 2xx.",
    ),
    "first_byte_seconds": (
        SECONDS,
        "From a request's last byte to the first of its answer's body; of whole answers with a status of 2xx.",
    ),
    "queue_seconds": (
        SECONDS,
        "What a request waited for a replica with room, also those that were given up.",
    ),
    "request_bytes": (BYTES, "Size of a request with its headers."),
    "response_bytes": (BYTES, "Size of an answer with its headers, as far as it was sent."),
}
BUFFER = 8 * 1024 * 1024
"""Bytes of datagrams that wait while this program does: some seconds of a busy gateway."""
GONE = 499
"""The status, as nginx has it, of requests whose clients had gone before there was one."""
FRONTEND = b"gateway"
LINE = re.compile(
    rb'\[stackctl@0 v="(\S+) (\S+) (-?\d+) (\S\S) (-?\d+) (-?\d+) (-?\d+) (\d+) (\d+)"'
    rb' f="(-?\d*)" k="((?:[^"\\]|\\.)*)" m="((?:[^"\\]|\\.)*)"\]'
)
"""Frontend, method, status, how it ended, ms of receiving, queueing and altogether, bytes in and out; us to the first
byte; key and model."""
SO_RXQ_OVFL = 40
"""Linux tells with each datagram how many were lost before it."""
SO_RCVBUFFORCE = 33
"""Linux goes beyond its limit for those who may administer the network."""


class Histogram:
    """How often values up to each bound were seen."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a bound belongs to what is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def rows(self, name: str, labels: str) -> Iterator[str]:
        """In the exposition format."""
        total = 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            total += count
            le = "+Inf" if bound is None else f"{bound:g}" if bound < 1 else str(bound)
            yield f'{name}_bucket{{{labels},le="{le}"}} {total}'
        yield f"{name}_sum{{{labels}}} {round(self.sum, 6)}"
        yield f"{name}_count{{{labels}}} {total}"


@dataclass
class Model:
    """What is known of one model's requests."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By key and status."""
    broken: Counter[str] = field(default_factory=lambda: Counter(client=0, server=0, gateway=0))
    """Answers that began and did not end, by who ended them."""
    histograms: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram(bounds) for name, (bounds, _) in HISTOGRAMS.items()}
    )


class Counts:
    """All that was counted since the start."""

    def __init__(self, models: Sequence[str], keys: Sequence[str] = ()) -> None:
        self.models = {name: Model() for name in models}
        self.keys = frozenset(keys)
        self.others: Counter[int] = Counter()
        """Requests that reached no model, by status."""
        self.unread = 0
        self.lost = 0
        self.lock = threading.Lock()

    def take(self, line: bytes) -> None:
        """Count what a line of the log tells; what is none of a request says nothing."""
        found = LINE.search(line)
        if found is None:
            self.unread += b"[stackctl@0 " in line
            return
        frontend, method, status, ended, *numbers, first, key, name = found.groups()
        if frontend != FRONTEND:
            return
        model = self.models.get(name.decode("ascii", "replace"))
        code = int(status) if status[:1] != b"-" else GONE
        # Lists of models and their health are got; models themselves are only ever posted to.
        if model is None or method != b"POST":
            self.others[code] += 1
            return
        known = key.decode("ascii", "replace")
        model.requests[known if known in self.keys else "", code] += 1
        _observe(model, code, ended, [int(number) for number in numbers], first)

    def rows(self) -> Iterator[str]:
        """In the exposition format."""
        models = sorted(self.models.items())
        yield from _head("requests_total", "counter", f"Requests by status; {GONE}: the client had gone.")
        for name, model in models:
            for (key, code), count in sorted(model.requests.items()):
                by = f'model="{name}",key="{key}"' if key else f'model="{name}"'
                yield f'stackctl_gateway_requests_total{{{by},code="{code}"}} {count}'
        yield from _head(
            "broken_answers_total", "counter", "Answers that began and did not end, by whose doing."
        )
        for name, model in models:
            for who, count in model.broken.items():
                yield f'stackctl_gateway_broken_answers_total{{model="{name}",by="{who}"}} {count}'
        for family, (_, told) in HISTOGRAMS.items():
            yield from _head(family, "histogram", told)
            for name, model in models:
                yield from model.histograms[family].rows(f"stackctl_gateway_{family}", f'model="{name}"')
        yield from _head("other_requests_total", "counter", "Requests that reached no model, by status.")
        for code, count in sorted(self.others.items()):
            yield f'stackctl_gateway_other_requests_total{{code="{code}"}} {count}'
        yield from _head(
            "log_lost_total", "counter", "Lines of the log that came faster than they were read."
        )
        yield f"stackctl_gateway_log_lost_total {self.lost}"
        yield from _head("log_unread_total", "counter", "Lines of the log that were not understood.")
        yield f"stackctl_gateway_log_unread_total {self.unread}"

    def text(self) -> str:
        """The whole exposition."""
        with self.lock:
            return "\n".join(self.rows()) + "\n"


def _head(family: str, kind: str, told: str) -> tuple[str, str]:
    name = f"stackctl_gateway_{family}"
    return f"# HELP {name} {told}", f"# TYPE {name} {kind}"


def _observe(model: Model, code: int, ended: bytes, numbers: Sequence[int], first: bytes) -> None:
    receiving, queued, total, sent, received = numbers
    histograms = model.histograms
    if queued >= 0:
        histograms["queue_seconds"].observe(queued / 1000)
    histograms["request_bytes"].observe(sent)
    histograms["response_bytes"].observe(received)
    # HAProxy's first letter says who ended it, its second when: in the data, or in what was left to send of them.
    if ended[1:] in (b"D", b"L") and ended != b"--":
        model.broken[{b"C": "client", b"S": "server"}.get(ended[:1].upper(), "gateway")] += 1
    # Errors are quick: a model that fails would look fast.
    elif 200 <= code < 300 and first not in (b"-", b""):
        histograms["request_duration_seconds"].observe(max(0, total - receiving) / 1000)
        histograms["first_byte_seconds"].observe(max(0, int(first)) / 1_000_000)


def receiver(address: tuple[str, int]) -> socket.socket:
    """Where lines arrive, with as much room as the kernel allows."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    except PermissionError:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    found.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    found.bind(address)
    return found


def receive(lines: socket.socket, counts: Counts) -> None:
    """Count for ever."""
    while True:
        line, told, _, _ = lines.recvmsg(8192, 64)
        with counts.lock:
            counts.take(line)
            for level, kind, data in told:
                if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
                    counts.lost = int.from_bytes(data, sys.byteorder)


class Server(socketserver.TCPServer):
    """Answers one at a time: HAProxy alone asks."""

    allow_reuse_address = True


def handler(text: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    """What answers `/metrics/models` with the text as it then is."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 2

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics/models"
            body = text().encode() if found else b"only /metrics/models is here\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Whoever scrapes does so every few seconds."""

    return Handler


def main(path: str) -> None:
    """Count and answer until told to stop."""
    config = json.loads(Path(path).read_text())
    address = config["address"], config["port"]
    counts = Counts(config["models"], config["keys"])
    lines = receiver(address)
    with Server(address, handler(counts.text)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        receive(lines, counts)


if __name__ == "__main__":
    main(sys.argv[1])
