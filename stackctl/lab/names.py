"""The lab's name server: knows a few names, and of all others that they do not exist."""

import socketserver
import struct
from collections.abc import Mapping
from ipaddress import IPv4Address

_ADDRESS, _INTERNET = 1, 1
_SECONDS = 60


def answer(query: bytes, names: Mapping[str, IPv4Address]) -> bytes | None:
    """The reply to a query of one question; None to what is no such query."""
    try:
        identity, flags, questions = struct.unpack_from("!HHH", query)
        name, end = _question(query, 12)
        kind, family = struct.unpack_from("!HH", query, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if questions != 1 or flags & 0x8000:
        return None
    address = names.get(name.lower())
    records = b""
    if address and (kind, family) == (_ADDRESS, _INTERNET):
        records = struct.pack("!HHHIH", 0xC00C, kind, family, _SECONDS, 4) + address.packed
    # reply, authoritative, recursion as asked and available; code 3: no such name
    reply = 0x8400 | (flags & 0x0100) | 0x0080 | (0 if address else 3)
    return (
        struct.pack("!HHHHHH", identity, reply, 1, 1 if records else 0, 0, 0) + query[12 : end + 4] + records
    )


def _question(query: bytes, start: int) -> tuple[str, int]:
    labels = []
    while length := query[start]:
        labels.append(query[start + 1 : start + 1 + length].decode("ascii"))
        start += 1 + length
    return ".".join(labels), start + 1


class NameServer(socketserver.BaseRequestHandler):
    """Answers one datagram; `names` is set on a subclass."""

    names: Mapping[str, IPv4Address]

    def handle(self) -> None:
        """Reply, where there is anything to reply to."""
        query, sender = self.request
        if reply := answer(query, self.names):
            sender.sendto(reply, self.client_address)
