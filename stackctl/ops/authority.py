"""The authority of a mesh by nebula at work: certificates are signed on the operator's machine, in memory.

The authority's key goes to `nebula-cert` through a pipe: no file holds it, no argument, and no host.
"""

import base64
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.finding import Finding, FindingsError
from stackctl.core.secret import SecretRef
from stackctl.ops import secret
from stackctl.ops.program import SilentError, output

PROGRAM = "nebula-cert"
SECONDS = 20

_PRIVATE, _PUBLIC = "NEBULA ED25519 PRIVATE KEY", "NEBULA X25519 PUBLIC KEY"


@dataclass(frozen=True)
class Order:
    """A certificate that is wanted."""

    host: str
    address: str
    """With the mesh's width: `10.77.0.11/24`."""
    groups: tuple[str, ...]
    subnets: tuple[str, ...]
    days: int | None
    """How long it is to be valid; None: for as long as the authority's own."""
    public_key: str
    """The host's, in hexadecimal digits."""
    authority: str
    """Text of the authority's certificate."""
    key: SecretRef
    """The authority's private key."""


def require_program() -> str:
    """Path of the program that signs; FindingsError where this machine has none."""
    found = shutil.which(PROGRAM)
    if found is None:
        what = "is not on this machine, which signs the certificates of the mesh"
        hint = (
            "install it here: `apt install nebula` on Debian and Ubuntu 24.04, `brew install nebula` on macOS"
        )
        raise FindingsError(Finding(f"`{PROGRAM}`", what, hint))
    return found


def signed(order: Order) -> str:
    """The certificate's text; FindingsError where it cannot be signed here."""
    program = require_program()
    with tempfile.TemporaryDirectory(prefix="stackctl-") as folder, _readable(_key(order.key)) as descriptor:
        authority, public, made = (Path(folder) / name for name in ("ca.crt", "host.pub", "host.crt"))
        authority.write_text(order.authority, encoding="ascii")
        public.write_text(_text(_PUBLIC, bytes.fromhex(order.public_key)), encoding="ascii")
        words = [program, "sign", "-name", order.host, "-ip", order.address, "-ca-crt", str(authority)]
        words += ["-ca-key", f"/dev/fd/{descriptor}", "-in-pub", str(public), "-out-crt", str(made)]
        words += ["-groups", ",".join(order.groups)] if order.groups else []
        words += ["-subnets", ",".join(order.subnets)] if order.subnets else []
        words += ["-duration", f"{order.days * 24}h"] if order.days is not None else []
        try:
            output(words, SECONDS, (descriptor,))
            return made.read_text(encoding="ascii")
        except (SilentError, OSError) as error:
            what = f"`{PROGRAM}` did not sign the certificate of {order.host}: {error}"
            hint = (
                "see that the secret is the key of the first certificate in `network.mesh.nebula.authority`"
            )
            raise FindingsError(Finding(f"secret {order.key.written}", what, hint)) from None


def _key(ref: SecretRef) -> bytes:
    """The key as `nebula-cert` reads it, from its whole text or from its lines joined to one."""
    text = secret.value(ref)
    if "ENCRYPTED" in text:
        hint = "keep the key without a passphrase, and the secret where only operators read it"
        raise FindingsError(Finding(f"secret {ref.written}", "is a key behind a passphrase", hint))
    lines = [line.strip() for line in text.splitlines() if not line.startswith("-----")]
    return f"-----BEGIN {_PRIVATE}-----\n{''.join(lines)}\n-----END {_PRIVATE}-----\n".encode()


def _text(banner: str, key: bytes) -> str:
    return f"-----BEGIN {banner}-----\n{base64.b64encode(key).decode()}\n-----END {banner}-----\n"


@contextmanager
def _readable(content: bytes) -> Iterator[int]:
    """A descriptor that gives the content once; it is less than a pipe holds."""
    reading, writing = os.pipe()
    try:
        try:
            os.write(writing, content)
        finally:
            os.close(writing)
        yield reading
    finally:
        os.close(reading)
