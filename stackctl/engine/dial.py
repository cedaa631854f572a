"""TCP connections, from a network namespace of this machine where the inventory asks for one."""

import signal
import socket
import subprocess
import threading

from stackctl.core.finding import FailureError, Finding
from stackctl.namespace import connect

_UNACKNOWLEDGED_MS = 30_000  # a black hole is noticed after this long, not after the kernel's 15 minutes


def dial(address: str, port: int, *, timeout: float, namespace: str | None = None) -> socket.socket:
    """Connect; OSError when that fails within `timeout` seconds.

    Nagle's algorithm is off: it costs every small exchange of SSH up to 40 ms.
    """
    if namespace is None:
        connected = socket.create_connection((address, port), timeout)
    else:
        connected = _from_namespace(namespace, address, port, timeout)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    return connected


class _Proxied(socket.socket):
    """The near end of a proxy command, which is told to go when the socket is closed, as OpenSSH tells it."""

    command: subprocess.Popen[bytes]

    def close(self) -> None:
        """Close, and end the command: one that forwards both ways may never notice by itself."""
        super().close()
        self.command.send_signal(signal.SIGHUP)


def through(command: str) -> socket.socket:
    """The near end of a proxy command, run as OpenSSH runs it.

    A socket pair in place of paramiko's pipes, whose reader spins without end once the command has died.
    """
    near, far = socket.socketpair()
    proxied = _Proxied(fileno=near.detach())
    with far:
        proxied.command = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=subprocess.DEVNULL,
        )
    threading.Thread(target=proxied.command.wait, daemon=True).start()
    return proxied


def _from_namespace(namespace: str, address: str, port: int, timeout: float) -> socket.socket:
    try:
        return connect(namespace, address, port, timeout=timeout)
    except FileNotFoundError as error:
        what = f"network namespace `{namespace}` does not exist on this machine"
        raise FailureError(Finding("connect", what, "bring the lab up with `stackctl lab up`")) from error
    except PermissionError as error:
        what = f"network namespace `{namespace}` cannot be entered"
        raise FailureError(Finding("connect", what, "run as root")) from error
