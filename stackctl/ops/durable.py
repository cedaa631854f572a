"""Files of the operator's machine that are there whole, or as they were before, whenever something stops."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stackctl.core.finding import Finding, FindingsError


@contextmanager
def alone(*folders: Path) -> Iterator[None]:
    """Keep other stackctl processes from writing in the folders meanwhile; they wait."""
    with ExitStack() as held:
        # Always in the same order, so that no two wait for each other; and one folder once.
        for folder in sorted({folder.resolve() for folder in folders}):
            held.enter_context(_locked(folder))
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with _told(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write(path: Path, content: bytes, *, mode: int) -> None:
    """Put the file in place of one that may be there."""
    with _told(path), _staged(path, content, mode) as fresh:
        fresh.replace(path)
        _sync(path.parent)


def create(path: Path, content: bytes, *, mode: int) -> bool:
    """Put the file where none is; False where there is one, which stays as it is."""
    with _told(path), _staged(path, content, mode) as fresh:
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            return False
        _sync(path.parent)
        return True


@contextmanager
def _staged(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """The content under another name; what a killed process left there goes, and so does what is not used."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(handle)
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make a renaming outlast the machine's power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot be written: {(error.strerror or 'unknown error').lower()}"
        raise FindingsError(
            Finding(str(path), what, "check the path, its mode and the room there")
        ) from error
