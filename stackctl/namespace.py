"""Sockets with the network of a namespace, in a process that stays where it is."""

import ctypes
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

Made = TypeVar("Made")


def within(namespace: str, make: Callable[[], Made]) -> Made:
    """The result of `make`, called with the network of the namespace.

    A socket keeps the network it was made in, so only the thread that makes it has to be there.
    """

    def enter_and_make() -> Made:
        _enter(namespace)
        return make()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter_and_make).result()


def connect(namespace: str, address: str, port: int, *, timeout: float) -> socket.socket:
    """A connection dialled from inside the namespace."""
    return within(namespace, lambda: socket.create_connection((address, port), timeout))


def _enter(namespace: str) -> None:
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), namespace)
    finally:
        os.close(descriptor)
