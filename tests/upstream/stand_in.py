"""A small HTTP server on loopback that answers as a test wants it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    authorization: str | None


@dataclass(frozen=True)
class Reply:
    """What a stand-in answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def told(value: Any, **headers: str) -> Reply:
    """JSON, as the hub and registries answer."""
    return Reply(200, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


@dataclass
class StandIn:
    """A server, and what it was asked."""

    address: str
    """`127.0.0.1:PORT`."""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def standing_in(answer: Callable[[Asked], Reply]) -> Iterator[StandIn]:
    """Serve on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            if (
                self.connection.recv(1, socket.MSG_PEEK) != b"\x16"
            ):  # the beginning of TLS, which this server does not speak
                super().handle()

        def do_GET(self) -> None:
            asked = Asked(self.command, self.path, self.headers.get("Authorization"))
            stand_in.asked.append(asked)
            reply = answer(asked)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(reply.body)

        do_HEAD = do_GET  # noqa: N815 - the base class's name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stand_in = StandIn(f"127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield stand_in
        server.shutdown()
