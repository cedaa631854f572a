"""Bytes to and from a shell on an SSH channel."""

import select
import time

import paramiko

from stackctl.engine.batch import complete


class LostError(Exception):
    """The connection broke in the middle; what the last command did is not known."""


def exchange(
    channel: paramiko.Channel, script: bytes, mark: str, count: int, limit: float
) -> tuple[bytes, bytes]:
    """Send a framed script and read both streams to the end of its last command.

    Sending and reading take turns: a host that cannot be rid of its output would stop taking input.
    `limit` is how long the host may be silent: every command ends with a word in its own time, and a host
    that is frozen, or behind a hop that keeps the connection up, would otherwise be waited for in vain.
    """
    stdout, stderr = bytearray(), bytearray()
    end = time.monotonic() + limit
    channel.setblocking(0)
    while not complete(stdout, stderr, mark, count):
        if time.monotonic() > end:
            raise LostError(f"no answer within {limit:.0f} s")
        try:
            sent = channel.send(script[:32768]) if script and channel.send_ready() else 0
            drained = drain(channel, stdout, stderr)
        except (OSError, EOFError, paramiko.SSHException) as error:
            # Reading sends too, to make room for more. Which of these a broken connection is depends on who notices.
            raise LostError("the connection broke") from error
        script = script[sent:]
        if drained or sent:
            end = time.monotonic() + limit
        elif not wait(channel, 0.05 if script else 1.0):
            raise LostError("the connection broke")
    return bytes(stdout), bytes(stderr)


def drain(channel: paramiko.Channel, stdout: bytearray, stderr: bytearray) -> bool:
    """Take what has arrived, without waiting; whether there was anything."""
    before = len(stdout) + len(stderr)
    while channel.recv_ready():
        stdout += channel.recv(65536)
    while channel.recv_stderr_ready():
        stderr += channel.recv_stderr(65536)
    return len(stdout) + len(stderr) > before


def wait(channel: paramiko.Channel, seconds: float) -> bool:
    """Wait for more to arrive; False when the channel has ended and holds nothing more."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    poll.poll(seconds * 1000)
    ready = channel.recv_ready() or channel.recv_stderr_ready()
    return bool(ready or not (channel.closed or channel.eof_received or channel.exit_status_ready()))
