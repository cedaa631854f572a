"""Makes a host's WireGuard key where it stays: `wireguard_key.py FOLDER NUMBER`.

It runs before any package is installed, so that all hosts can know each other's public keys before one of them is
changed; hence the arithmetic of RFC 7748 in place of `wg`. A key that is there is never replaced. A new one waits
under another name until an apply takes it into use.
"""

import base64
import os
import sys
from pathlib import Path

P = 2**255 - 19
A24 = 121665
BASE = (9).to_bytes(32, "little")


def clamped(scalar: bytes) -> bytes:
    """The scalar with the bits set and cleared that every private key has so."""
    return bytes([scalar[0] & 248, *scalar[1:31], scalar[31] & 127 | 64])


def x25519(scalar: bytes, point: bytes) -> bytes:
    """RFC 7748's function of a private key and a point, 32 bytes each."""
    k = int.from_bytes(clamped(scalar), "little")
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    low, high = (1, 0), (x1, 1)
    for bit in reversed(range(255)):
        if k >> bit & 1:
            high, low = _step(high, low, x1)
        else:
            low, high = _step(low, high, x1)
    return (low[0] * pow(low[1], P - 2, P) % P).to_bytes(32, "little")


def _step(one: tuple[int, int], other: tuple[int, int], x1: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Double the one point, and add the two, whose difference is known."""
    a, b = one[0] + one[1], one[0] - one[1]
    aa, bb = a * a, b * b
    e = aa - bb
    da, cb = (other[0] - other[1]) * a, (other[0] + other[1]) * b
    return (aa * bb % P, e * (aa + A24 * e) % P), ((da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P)


def public_of(key: str) -> str:
    """The public key of a private one, both as `wg` writes them; ValueError where it is none."""
    scalar = base64.b64decode(key.strip(), validate=True)
    if len(scalar) != 32:
        raise ValueError("no key")
    return base64.b64encode(x25519(scalar, BASE)).decode()


def make(folder: Path, number: int) -> None:
    """Have a key with this number, in use or waiting, and its public key beside it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = folder / f"stackctl-{number}.key"
    public = folder / f"stackctl-{number}.pub"
    if not key.exists():
        key = folder / f".stackctl-{number}.key.new"
        public = folder / f".stackctl-{number}.pub.new"
        _create(key, base64.b64encode(clamped(os.urandom(32))).decode())
    wanted = f"{public_of(key.read_text())}\n"
    if not public.exists() or public.read_text() != wanted:
        _staged(public, wanted).replace(public)
        _sync(folder)


def _create(path: Path, text: str) -> None:
    """Put the file where none is; one that came first stays."""
    staged = _staged(path, f"{text}\n")
    try:
        path.hardlink_to(staged)
    except FileExistsError:
        pass
    finally:
        staged.unlink()
    _sync(path.parent)


def _staged(path: Path, text: str) -> Path:
    staged = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
    return staged


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    os.umask(0o077)
    make(Path(sys.argv[1]), int(sys.argv[2]))
