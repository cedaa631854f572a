"""Model servers that say what reached them, on loopback addresses of their own."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Stub(ThreadingHTTPServer):
    """One replica; tests turn its knobs while it runs."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, port: int = 0) -> None:
        self.status = 200
        self.healthy = True
        self.first_after = 0.0
        """Seconds between a stream's headers and its first event."""
        self.served: list[str] = []
        """Paths of the requests that were answered."""
        self.headers: list[dict[str, str]] = []
        """Their headers, with names in lower case."""
        self.go_on = threading.Event()
        """A stream stays open after its first event until this is set."""
        self._connections: list[socket.socket] = []
        super().__init__((address, port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        self._connections.append(connection)
        return connection, peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that closes a connection is nothing to report."""

    def die(self) -> None:
        """Go as a killed process does: the port is closed and every connection reset."""
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@contextmanager
def stub(address: str, port: int = 0) -> Iterator[Stub]:
    """A replica until the block ends."""
    server = Stub(address, port)
    try:
        yield server
    finally:
        server.go_on.set()
        server.die()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Stub

    def do_GET(self) -> None:
        self._answer(200 if self.server.healthy else 503, b"")

    def do_POST(self) -> None:
        body = self._body()
        if self.server.status != 200:
            self._answer(self.server.status, b'{"error":{"message":"full"}}')
            return
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.served.append(self.path)
        if b'"stream": true' in body:
            self._stream()
        else:
            seen = {"by": self.server.server_address[0], "path": self.path, "bytes": len(body)}
            self._answer(200, json.dumps(seen).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(self.server.first_after)
        self._event(b"data: first\n\n")
        self.server.go_on.wait(5)
        self._event(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
