"""Things that take long to make: made once, kept by the hash of their recipe, whole or not at all."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stackctl.lab.spec import CACHE


def key_of(recipe: Any) -> str:
    """A short name for a recipe of JSON values: another recipe, another key."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def made(kind: str, key: str, make: Callable[[Path], None], *, cache: Path = CACHE) -> Path:
    """The directory of what `make` makes, from the cache where it has been made before.

    `make` gets an empty directory to fill. Whoever else wants the same thing waits.
    """
    place = cache / kind / key
    if place.is_dir():
        return place
    with locked(f"{kind}-{key}", cache=cache):
        if not place.is_dir():
            partial = cache / "partial" / f"{kind}-{key}"
            remove_tree(partial)
            partial.mkdir(parents=True)
            make(partial)
            place.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(place)
    return place


@contextlib.contextmanager
def locked(name: str, *, cache: Path = CACHE, wait: bool = True) -> Iterator[None]:
    """Hold a lock that every lab on this machine respects and that dies with its holder.

    BlockingIOError where another has it and we do not wait.
    """
    locks = cache / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def sweep(cache: Path = CACHE) -> None:
    """Remove what crashes left half made, which is what nobody holds the lock of."""
    for partial in sorted((cache / "partial").glob("*")):
        with contextlib.suppress(BlockingIOError), locked(partial.name, cache=cache, wait=False):
            remove_tree(partial)


def remove_tree(directory: Path) -> None:
    """Remove a directory and all below it, where it exists."""
    if directory.exists():
        shutil.rmtree(directory)
