"""A model hub on loopback: it knows ranges, asks for a token, and can be told to fail in several ways."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = {"config.json": b'{"layers": 2}', "sub/model.safetensors": bytes(range(256)) * 2000, "empty": b""}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Hub:
    """What is asked of it, and how it behaves."""

    files: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    cut: list[int] = field(default_factory=list)
    """After how many bytes of its answers it hangs up, for the next answers with more than that."""
    failing: list[int] = field(default_factory=list)
    """Statuses of its next answers."""
    ranges: bool = True
    elsewhere: str | None = None
    """Where it sends everybody on to."""
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """File, range and authorisation of each request."""
    port: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/a/b/resolve/c"


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.removeprefix("/a/b/resolve/c/")
        wanted, bearer = self.headers.get("Range"), self.headers.get("Authorization")
        hub.asked.append((path, wanted, bearer))
        if hub.elsewhere is not None:
            self.send_response(302)
            self.send_header("Location", f"{hub.elsewhere}/{path}")
            self.end_headers()
        elif hub.failing:
            self.send_error(hub.failing.pop(0))
        elif path not in hub.files:
            self.send_error(404)
        else:
            self._give(hub.files[path], int(wanted[6:-1]) if wanted and hub.ranges else None)

    def _give(self, content: bytes, start: int | None) -> None:
        hub = self.hub
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        rest = content[start or 0 :]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if hub.cut and len(rest) > hub.cut[0]:
            rest = rest[: hub.cut.pop(0)]
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(hub: Hub | None = None) -> Iterator[Hub]:
    """A hub that serves until the end of the block."""
    found = hub or Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": found}))
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
