import struct
from ipaddress import IPv4Address

import pytest

from stackctl.lab.names import answer

NAMES = {"registry.lab": IPv4Address("198.18.0.20")}


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def outcome(reply: bytes | None) -> tuple[int, int, bytes]:
    """Code, number of answers, and the last four bytes, which are an answer's address."""
    assert reply is not None
    _, flags, _, answers = struct.unpack_from("!HHHH", reply)
    return flags & 0xF, answers, reply[-4:]


def test_a_known_name_has_its_address() -> None:
    assert outcome(answer(query("registry.lab"), NAMES)) == (0, 1, bytes([198, 18, 0, 20]))


def test_case_does_not_matter() -> None:
    assert outcome(answer(query("Registry.LAB"), NAMES))[:2] == (0, 1)


def test_a_known_name_has_no_ipv6_address_but_exists() -> None:
    assert outcome(answer(query("registry.lab", kind=28), NAMES))[:2] == (0, 0)


def test_any_other_name_does_not_exist() -> None:
    assert outcome(answer(query("example.com"), NAMES))[:2] == (3, 0)


@pytest.mark.parametrize("datagram", [b"", b"x", query("registry.lab")[:15], b"\xff" * 40])
def test_rubbish_gets_no_reply(datagram: bytes) -> None:
    assert answer(datagram, NAMES) is None
