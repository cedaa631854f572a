"""One root shell on one host for the whole run; a batch of commands is one exchange with it."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import paramiko

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError
from stackctl.engine import ssh
from stackctl.engine.batch import HEAD, Answer, Command, answers, framed, new_mark
from stackctl.engine.channel import LostError, drain, exchange, wait
from stackctl.ops import secret

_NO_SHELL = "log in by hand with `ssh` and look at the login's shell and its sudoers"
_GRACE_SECONDS = 30  # on top of the commands' own limits, before the host is given up


class Session(Protocol):
    """A shell that batches can be sent to."""

    round_trips: int
    """Batches sent so far."""

    def open(self) -> None:
        """Connect and become root; FindingsError says why not."""

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        """Send a batch and wait for its answers; LostError when the connection breaks."""

    def close(self) -> None:
        """Leave; the command that is running, if any, ends by itself."""


@contextmanager
def _within(seconds: float, transport: paramiko.Transport) -> Iterator[None]:
    """Close the transport when a request is not answered in time: paramiko itself waits without end."""
    limit = threading.Timer(seconds, transport.close)
    limit.daemon = True
    limit.start()
    try:
        yield
    except paramiko.SSHException as error:
        if limit.finished.is_set():
            raise TimeoutError(f"no answer within {seconds:.0f} s") from error
        raise
    finally:
        limit.cancel()


class SshSession:
    """A session over SSH, with sudo where the connection asks for it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.round_trips = 0
        self._clients: list[paramiko.SSHClient] = []
        self._channel: paramiko.Channel | None = None

    def open(self) -> None:
        """Connect, start the shell and check that it is root's."""
        self._clients = ssh.connect(self.connection)
        transport = self._clients[-1].get_transport()
        if transport is None:
            raise self._refused(
                "the connection closed at once", "try again; read the journal of the host's sshd"
            )
        try:
            self._channel = transport.open_session(timeout=self.connection.timeout)
            self._become_root(self._channel, transport)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._refused(f"no shell: {error or 'the connection closed'}", _NO_SHELL) from error

    def run(self, commands: Sequence[Command]) -> tuple[Answer, ...]:
        """One exchange."""
        if self._channel is None:
            raise LostError("not connected")
        mark = new_mark()
        limit = max((command.seconds for command in commands), default=0) + _GRACE_SECONDS
        self.round_trips += 1
        stdout, stderr = exchange(self._channel, framed(commands, mark), mark, len(commands), limit)
        return answers(stdout, stderr, mark)

    def close(self) -> None:
        """Close the connection and all hops before it."""
        for client in reversed(self._clients):
            client.close()
        self._clients = []
        self._channel = None

    def _become_root(self, channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        """Start the shell, under sudo where asked, and see that it is root's.

        The password is sent only when sudo asks: cached credentials and NOPASSWD rules make it not ask, and
        a password sent blindly would then be read by the shell as a command.
        """
        mark, ask = new_mark(), new_mark()
        greeting = f"sh -c 'echo {mark} $(id -u); exec sh -s'"
        with _within(self.connection.timeout, transport):
            channel.exec_command(
                f"exec sudo -k -S -p '{ask}' -- {greeting}" if self.connection.sudo else greeting
            )
        said = bytearray()
        prompts = 0
        end = time.monotonic() + self.connection.timeout
        while not (greeted := re.search(rf"{mark} (\d+)\n".encode(), said)):
            if said.count(ask.encode()) > prompts:
                prompts += 1
                channel.sendall(self._password(prompts))
            if not drain(channel, said, said) and not wait(channel, 0.5):
                text = secret.mask(said.decode(errors="replace")).replace(ask, "").strip()
                raise self._refused(f"no root shell: {text or 'the connection closed'}", _NO_SHELL)
            if time.monotonic() > end:
                raise self._refused(f"no root shell within {self.connection.timeout} s", _NO_SHELL)
        if greeted[1] != b"0":
            raise self._refused(
                "the login is not root", "set `sudo: true` under `ssh`, or log in as root with `user: root`"
            )
        channel.sendall(HEAD.encode())

    def _password(self, prompts: int) -> bytes:
        reference = self.connection.sudo_password
        if reference is None:
            raise self._refused(
                "sudo asks for a password",
                "set `sudo_password` under `ssh` to a reference such as `env:SUDO_PASSWORD`",
            )
        if prompts > 1:
            raise self._refused(
                "sudo did not accept the password",
                f"check what `{reference.scheme}:{reference.target}` holds for this login",
            )
        password = secret.value(reference)
        if "\n" in password:  # the shell behind sudo would run the second line as a command
            raise self._refused(
                "the password for sudo has more than one line",
                f"let `{reference.scheme}:{reference.target}` give the password alone",
            )
        return f"{password}\n".encode()

    def _refused(self, what: str, hint: str) -> FindingsError:
        return FindingsError(Finding(self.connection.host, what, hint))
