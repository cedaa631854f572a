"""A TCP connection from a host, for what only hosts reach: it goes through their SSH server."""

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import paramiko

from stackctl.core.connection import Connection
from stackctl.core.finding import FailureError
from stackctl.engine.hostkeys import UnknownKeyError
from stackctl.engine.ssh import connect
from stackctl.engine.trouble import distrusted


@contextmanager
def through_host(connection: Connection, address: str, port: int, seconds: float) -> Iterator[socket.socket]:
    """What the host connects to, for as long as the block runs.

    OSError where the host cannot connect or its SSH server may not; FindingsError where the host lets nobody in.
    """
    try:
        clients = connect(connection)
    except UnknownKeyError as error:
        raise FailureError(distrusted(error.new)) from error
    try:
        transport = clients[-1].get_transport()
        if transport is None:
            raise ConnectionError("the SSH connection closed")
        try:
            channel = transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=seconds
            )
        except paramiko.ChannelException as error:
            raise ConnectionError(f"the SSH server of {connection.host} says: {error.text}") from error
        yield cast("socket.socket", _Carried(channel))
    finally:
        for client in reversed(clients):
            client.close()


class Receiving(Protocol):
    """What can be received from, as from a socket."""

    def recv(self, size: int, /) -> bytes:
        """What has come, and has no more than `size` bytes; nothing at the end."""


class Incoming(io.RawIOBase):
    """The reading end of what is no real socket."""

    def __init__(self, channel: Receiving) -> None:
        self.channel = channel

    def readable(self) -> bool:
        """It is for nothing else."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As much as has come."""
        data = self.channel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Carried:
    """As much of a socket as HTTP needs; paramiko's own files cannot be peeked into."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel = channel

    def makefile(self, mode: str) -> io.BufferedReader:
        """For reading alone."""
        assert mode == "rb"  # noqa: S101 - what http.client asks for
        return io.BufferedReader(Incoming(self.channel))

    def recv(self, size: int) -> bytes:
        return self.channel.recv(size)

    def sendall(self, data: bytes) -> None:
        self.channel.sendall(data)

    def settimeout(self, seconds: float) -> None:
        self.channel.settimeout(seconds)

    def close(self) -> None:
        """Nothing: a response may still be read from its file, and the connection ends with the block."""
