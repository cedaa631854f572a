"""Certificates of nebula as they were some time ago: `nebula-cert` itself only signs from now on."""

import base64
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_DETAILS, _SIGNATURE = b"\x0a", b"\x12"
_BEGINS, _ENDS = 5, 6


def lasting(certificate: str, authority: Path, begins: int, ends: int) -> str:
    """The same certificate with another life, signed again; `authority` is the folder of `ca.key`."""
    raw = _unpacked(certificate)
    length, start = _varint(raw, 1)
    times = {_BEGINS: begins, _ENDS: ends}
    details = b"".join(
        field if number not in times else bytes([number << 3]) + _number(times[number])
        for number, field in _fields(raw[start : start + length])
    )
    key = Ed25519PrivateKey.from_private_bytes(_unpacked((authority / "ca.key").read_text())[:32])
    signature = key.sign(details)
    whole = _DETAILS + _number(len(details)) + details + _SIGNATURE + _number(len(signature)) + signature
    text = base64.encodebytes(whole).decode()
    return f"-----BEGIN NEBULA CERTIFICATE-----\n{text}-----END NEBULA CERTIFICATE-----\n"


def _unpacked(text: str) -> bytes:
    return base64.b64decode("".join(text.splitlines()[1:-1]))


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each field's number and all its bytes."""
    place = 0
    while place < len(data):
        tag, after = _varint(data, place)
        value, after = _varint(data, after)
        after += value if tag & 7 == 2 else 0
        yield tag >> 3, data[place:after]
        place = after


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while data[place] >= 0x80:
        value, shift, place = value | (data[place] & 0x7F) << shift, shift + 7, place + 1
    return value | data[place] << shift, place + 1


def _number(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
