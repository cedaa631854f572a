"""CUDA versions and drivers: which runs on which."""

from functools import cache

from stackctl.nvidia.tables import table
from stackctl.nvidia.version import Version, parsed


def floor(cuda: Version) -> Version | None:
    """Oldest driver for any CUDA of the same major version; None where the table does not say."""
    text = table("cuda")["floors"].get(str(cuda[0]))
    return None if text is None else parsed(text)


def native(cuda: Version) -> Version | None:
    """The driver that came with a toolkit, which PTX and the newest features need; None: not known."""
    return _toolkits().get(cuda)


def supported(driver: Version) -> Version | None:
    """Newest CUDA that a driver knows, which `cuda>=` is compared with; None where it is older than the table.

    For a branch newer than the table it is the newest CUDA of the table, so that the true one may be higher.
    """
    known = [branch for branch in _branches() if branch <= driver[0]]
    return _branches()[max(known)] if known else None


def is_newest(driver: Version) -> bool:
    """Whether a driver is newer than the table, so that it may know more CUDA than the table does."""
    return driver[0] > max(_branches())


def branch_for(cuda: Version) -> int | None:
    """Oldest branch that knows a CUDA version; None: no branch of the table does."""
    return min((branch for branch, newest in _branches().items() if newest >= cuda), default=None)


@cache
def _branches() -> dict[int, Version]:
    return {branch: parsed(text) for branch, text in table("cuda")["branches"].items()}


@cache
def _toolkits() -> dict[Version, Version]:
    return {parsed(toolkit): parsed(driver) for toolkit, driver in table("cuda")["toolkits"].items()}
