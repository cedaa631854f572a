"""A model server that costs next to nothing: `gateway_backend.py ADDRESS PORT`, where uvloop is installed."""

import asyncio
import contextlib
import sys
from typing import cast

import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"
_WHOLE = (
    b'{"id":"a","object":"chat.completion","created":0,"model":"chat","choices":[{"index":0,"message":{"role":'
    b'"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,'
    b'"total_tokens":2}}'
)
_ANSWER = _HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(_WHOLE) + _WHOLE
_EVENT = (
    b'data: {"id":"a","object":"chat.completion.chunk","created":0,"model":"chat","choices":[{"index":0,"delta":'
    b'{"content":"hello "},"finish_reason":null}]}\n\n'
)
_END = _EVENT.replace(b"null", b'"stop"') + b"data: [DONE]\n\n"
EVENTS, PAUSE = 20, 0.02
"""Of a stream: their number, and seconds between two."""


class Connection(asyncio.Protocol):
    """Answers requests one after another."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.seen = b""
        self.stream: asyncio.Task[None] | None = None

    def connection_lost(self, _: Exception | None) -> None:
        if self.stream is not None:
            self.stream.cancel()

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, mark, body = self.seen.partition(b"\r\n\r\n")
        if not mark or len(body) < _length(head):
            return
        self.seen = b""
        if b'"stream":true' in body.replace(b" ", b""):
            self.stream = asyncio.ensure_future(self._stream())
        else:
            self.transport.write(_ANSWER)

    async def _stream(self) -> None:
        self.transport.write(_HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(EVENTS):
            self.transport.write(_chunk(_EVENT))
            await asyncio.sleep(PAUSE)
        self.transport.write(_chunk(_END) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


async def _serve(address: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, address, port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(sys.argv[1], int(sys.argv[2])))
