"""TCP connections, from a network namespace of this machine where the inventory asks for one."""

import ctypes
import os
import socket
import threading

from stackctl.core.finding import Finding, FindingsError

_CLONE_NEWNET = 0x40000000
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


def _from_namespace(namespace: str, address: str, port: int, timeout: float) -> socket.socket:
    """A socket belongs to the namespace its thread was in when it was made; the thread ends with that."""
    made: list[socket.socket | OSError | FindingsError] = []

    def connect() -> None:
        try:
            _enter(namespace)
            made.append(socket.create_connection((address, port), timeout))
        except (OSError, FindingsError) as error:
            made.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join()
    if isinstance(made[0], socket.socket):
        return made[0]
    raise made[0]


def _enter(namespace: str) -> None:
    try:
        handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        what = f"network namespace `{namespace}` does not exist on this machine"
        raise FindingsError(Finding("connect", what, "bring the lab up with `stackctl lab up`")) from error
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            what = f"network namespace `{namespace}` cannot be entered: {os.strerror(number)}"
            raise FindingsError(Finding("connect", what, "run as root"))
    finally:
        os.close(handle)
