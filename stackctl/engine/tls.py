"""TLS as a client, over a socket or over what only looks like one, such as a channel of SSH."""

import io
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar, cast

from stackctl.engine.tunnel import Incoming

_Answer = TypeVar("_Answer")
_PIECE = 65536


def secured(connected: socket.socket, name: str, authorities: str | None) -> socket.socket:
    """A connection within `connected`, to whoever proves to be `name`, a host's name or address.

    `authorities` are the certificates to trust, in PEM; None: those that this machine trusts. OSError where the
    other side proves nothing. Only what HTTP needs of a socket is there.
    """
    context = ssl.create_default_context(cadata=authorities)
    return cast("socket.socket", _Secured(connected, context, name))


class _Secured:
    def __init__(self, carrier: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self.carrier = carrier
        self.received, self.to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.received, self.to_send, server_hostname=name)
        self._done(self.session.do_handshake)

    def _done(self, act: Callable[[], _Answer]) -> _Answer:
        """Act, carrying to and fro what TLS needs for it."""
        while True:
            try:
                answer = act()
            except ssl.SSLWantReadError:
                self._send()
                piece = self.carrier.recv(_PIECE)
                if piece:
                    self.received.write(piece)
                else:
                    self.received.write_eof()
            else:
                self._send()
                return answer

    def _send(self) -> None:
        piece = self.to_send.read()
        if piece:
            self.carrier.sendall(piece)

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._done(lambda piece=piece: self.session.write(piece))  # type: ignore[misc]

    def recv(self, size: int) -> bytes:
        try:
            return self._done(lambda: self.session.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def makefile(self, mode: str) -> io.BufferedReader:
        """For reading alone."""
        assert mode == "rb"  # noqa: S101 - what http.client asks for
        return io.BufferedReader(Incoming(self))

    def settimeout(self, seconds: float) -> None:
        self.carrier.settimeout(seconds)

    def close(self) -> None:
        """Nothing: a response may still be read from its file; whoever opened the carrier closes it."""
