"""Certificates of nebula, version 1, read from their text: who is who, signed by whom, until when."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END \1-----")
_BANNER = "NEBULA CERTIFICATE"
_NEWER = f"{_BANNER} V2"

# Fields of the protocol buffers that a certificate consists of.
_DETAILS, _SIGNATURE = 1, 2
_NAME, _ADDRESSES, _SUBNETS, _GROUPS, _BEGINS, _ENDS, _KEY, _IS_AUTHORITY, _ISSUER, _CURVE = (
    *range(1, 10),
    100,
)

_Fields = dict[int, list[int | bytes]]
_WHOLE = (
    "write the whole text of the authority's `ca.crt` as a block: `authority: |`, then its lines indented"
)


class UnfitError(ValueError):
    """A text that is no certificate, or none that hosts can read; its words follow the name of what holds it."""

    def __init__(self, what: str, hint: str = _WHOLE) -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True)
class Certificate:
    """One certificate, of an authority or of a host."""

    name: str
    addresses: tuple[IPv4Interface, ...]
    """A host's address in the mesh; the networks that an authority keeps hosts to, none where to any."""
    subnets: tuple[IPv4Network, ...]
    """Networks behind a host; those that an authority keeps hosts to, none where to any."""
    groups: tuple[str, ...]
    """A host's groups; those that an authority keeps hosts to, none where to any."""
    begins: int
    """Seconds since 1970."""
    ends: int
    """Seconds since 1970."""
    public_key: str
    """In hexadecimal digits."""
    authority: bool
    """Whether it may sign others."""
    issuer: str
    """Fingerprint of the authority that signed it; empty for an authority, which signs itself."""
    fingerprint: str
    curve: int
    """0 is Curve25519, the only one that nebula 1.6 knows."""

    @property
    def renewal(self) -> int:
        """When the last third of its life begins, in seconds since 1970."""
        return self.ends - (self.ends - self.begins) // 3


def certificates(text: str) -> tuple[Certificate, ...]:
    """All certificates of a text, in its order; UnfitError says what is wrong with it."""
    found = tuple(_parsed(_decoded(body)) for banner, body in _blocks(text) if banner == _BANNER)
    if not found:
        raise UnfitError("holds no certificate of nebula's")
    return found


def pem(text: str) -> str:
    """The same certificates, however their lines were broken and indented where they were written."""
    certificates(text)
    blocks = (base64.b64encode(_decoded(body)).decode() for _, body in _blocks(text))
    return "".join(f"-----BEGIN {_BANNER}-----\n{_lines(block)}-----END {_BANNER}-----\n" for block in blocks)


def public_key(text: str) -> str | None:
    """The public key in a file of `nebula-cert keygen`, in hexadecimal digits; None where it holds none."""
    keys = [body for banner, body in _blocks(text) if banner == "NEBULA X25519 PUBLIC KEY"]
    try:
        return _decoded(keys[0]).hex() if keys else None
    except ValueError:
        return None


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    for banner, body in _PEM.findall(text):
        if banner == _NEWER:
            hint = "make the authority with `nebula-cert ca -version 1`"
            raise UnfitError("is of version 2, which the nebula of Debian and Ubuntu does not read", hint)
        if "PRIVATE" in banner:
            hint = "take it out, make another authority, and write its `ca.crt` here; the key is a secret"
            raise UnfitError("holds a private key", hint)
        yield banner, body


def _decoded(body: str) -> bytes:
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        raise UnfitError("holds a certificate that is damaged") from None


def _lines(block: str) -> str:
    return "".join(f"{block[start : start + 64]}\n" for start in range(0, len(block), 64))


def _parsed(raw: bytes) -> Certificate:
    try:
        outer = _fields(raw)
        details = _fields(_bytes(outer, _DETAILS))
        if not _bytes(outer, _SIGNATURE):
            raise ValueError(_SIGNATURE)  # noqa: TRY301 - told below like any other damage
        curve = _number(details, _CURVE)
        return Certificate(
            name=_bytes(details, _NAME).decode(),
            addresses=tuple(_networks(details, _ADDRESSES)),
            subnets=tuple(network.network for network in _networks(details, _SUBNETS)),
            groups=tuple(group.decode() for group in details.get(_GROUPS, ()) if isinstance(group, bytes)),
            begins=_number(details, _BEGINS),
            ends=_number(details, _ENDS),
            public_key=_bytes(details, _KEY).hex(),
            authority=bool(_number(details, _IS_AUTHORITY)),
            issuer=_bytes(details, _ISSUER).hex(),
            fingerprint=hashlib.sha256(raw).hexdigest(),
            curve=curve,
        )
    except (IndexError, ValueError):
        raise UnfitError("holds a certificate that is damaged") from None


def _fields(data: bytes) -> _Fields:
    """A protocol buffer's fields by number; numbers and texts are all that certificates consist of."""
    fields: _Fields = {}
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, place = _varint(data, place)
        value: int | bytes = number
        if tag & 7 == 2:
            value, place = data[place : place + number], place + number
        if tag & 7 not in (0, 2) or place > len(data):
            raise ValueError(tag)
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 0x7F) << shift, shift + 7, place + 1
        if byte < 0x80:
            return value, place


def _bytes(fields: _Fields, number: int) -> bytes:
    values = [value for value in fields.get(number, ()) if isinstance(value, bytes)]
    return values[-1] if values else b""


def _number(fields: _Fields, number: int) -> int:
    values = [value for value in fields.get(number, ()) if isinstance(value, int)]
    return values[-1] if values else 0


def _networks(fields: _Fields, number: int) -> Iterator[IPv4Interface]:
    """Pairs of an address and a mask."""
    numbers = _packed(fields.get(number, ()))
    for address, mask in zip(numbers[::2], numbers[1::2], strict=True):
        yield IPv4Interface((address, mask.bit_count()))


def _packed(values: Sequence[int | bytes]) -> list[int]:
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        place = 0
        while place < len(value):
            number, place = _varint(value, place)
            numbers.append(number)
    return numbers
