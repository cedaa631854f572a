"""What a host answers, asked from a network namespace of the lab."""

import socket
import struct
import time
from collections.abc import Iterable, Iterator

from stackctl.namespace import connect, within

ALL_PORTS = range(1, 65536)
_PORT = 40404
"""Where the answers go; nothing of the lab dials from it."""
_SECONDS = 0.5
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_BURST = 256


def answering(namespace: str, address: str, ports: Iterable[int]) -> dict[int, str]:
    """TCP ports that answer a SYN, each `open` or `closed`; those that stay silent are left out."""
    raw = within(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP))
    with raw:
        raw.connect((address, 0))
        source = raw.getsockname()[0]
        found: dict[int, str] = {}
        for number, port in enumerate(ports, 1):
            raw.send(_syn(source, address, port))
            if number % _BURST == 0:
                found |= _answers(raw, 0.002)
        return dict(sorted({**found, **_answers(raw, 1)}.items()))


def reached(namespace: str, address: str, port: int, source: str | None = None) -> bool:
    """Whether a connection is let in."""
    try:
        if source is None:
            connect(namespace, address, port, timeout=_SECONDS).close()
        else:
            within(
                namespace, lambda: socket.create_connection((address, port), _SECONDS, (source, 0))
            ).close()
    except OSError:
        return False
    return True


def refused(namespace: str, address: str, ports: Iterable[int]) -> list[int]:
    """UDP ports of which the host says that nobody listens, or that answer: they are not filtered."""
    return [port for port in ports if _udp_answers(namespace, address, port)]


def pinged(namespace: str, address: str) -> bool:
    """Whether a ping is answered."""
    raw = within(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    with raw:
        raw.settimeout(1)
        raw.sendto(struct.pack("!BBHHH", 8, 0, 0xFFFF ^ 0x0800, 0, 0), (address, 0))
        try:
            return bool(raw.recv(64)[20:21] == b"\0")
        except TimeoutError:
            return False


def _udp_answers(namespace: str, address: str, port: int) -> bool:
    with within(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        asking.settimeout(0.3)
        asking.connect((address, port))
        try:
            asking.send(b"hello")
            asking.recv(1)
        except TimeoutError:
            return False
        except ConnectionRefusedError:
            return True
        return True


def _answers(raw: socket.socket, seconds: float) -> dict[int, str]:
    return dict(_heard(raw, time.monotonic() + seconds))


def _heard(raw: socket.socket, until: float) -> Iterator[tuple[int, str]]:
    while (left := until - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            packet = raw.recv(2048)
        except TimeoutError:
            return
        tcp = packet[(packet[0] & 0x0F) * 4 :]
        port, to, flags = *struct.unpack("!HH", tcp[:4]), tcp[13]
        if to == _PORT and flags & (_RST | _ACK):
            yield port, "closed" if flags & _RST else "open"


def _syn(source: str, address: str, port: int) -> bytes:
    def header(checksum: int) -> bytes:
        return struct.pack("!HHIIBBHHH", _PORT, port, 1, 0, 5 << 4, _SYN, 1024, checksum, 0)

    ends = socket.inet_aton(source) + socket.inet_aton(address)
    words = struct.unpack("!16H", ends + struct.pack("!HH", socket.IPPROTO_TCP, 20) + header(0))
    total = sum(words)
    total = (total >> 16) + (total & 0xFFFF)
    return header(~(total + (total >> 16)) & 0xFFFF)
