"""WireGuard's keys as a host makes them."""

import base64
import os
import subprocess
from importlib.resources import files
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_PROGRAM = files("stackctl.agents").joinpath("wireguard_key.pl").read_text("utf-8")


def make(folder: Path, number: int = 1) -> None:
    """Have a key: from standard input, with nothing but what a first boot has."""
    subprocess.run(
        ["perl", "-", folder, str(number)],
        input=_PROGRAM,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )


def public_of(key: str) -> str:
    """A private key's public key, as a library computes it; both as `wg` writes them."""
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(key))
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()
