"""The machine itself: which system it runs, its name, its kernel's settings, its reboots."""

import shlex
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.finding import Finding, FindingsError
from stackctl.ops.step import REBOOTS, Reboot, Step, changes
from stackctl.ops.trace import saw
from stackctl.ops.wording import SHOWN, some

REQUIRED = "/run/reboot-required"
"""Debian's and Ubuntu's packages leave this file, and their names in another beside it, until the next boot."""


class OsRelease(FactBase[str]):
    """The system as `debian-13`, from os-release."""

    def command(self) -> str:
        """Asked of the host's own files and kernel."""
        return '. /etc/os-release && printf \'%s-%s\\n\' "$ID" "$VERSION_ID"'

    @staticmethod
    def default() -> str:
        """A system that does not say."""
        return "unknown"

    def process(self, output: Iterable[str]) -> str:
        """One line."""
        return next(iter(output), "unknown")


class HostName(FactBase[tuple[str, ...]]):
    """The name the kernel has and the one of the next boot."""

    def command(self) -> str:
        """Asked of the host's own files and kernel."""
        return "uname -n; cat /etc/hostname 2>/dev/null || true"

    @staticmethod
    def default() -> tuple[str, ...]:
        """No name."""
        return ()

    def process(self, output: Iterable[str]) -> tuple[str, ...]:
        """Two lines when both are set."""
        return tuple(line.strip() for line in output if line.strip())


class Sysctl(FactBase[dict[str, str]]):
    """Values of kernel settings by key; those the kernel does not have are left out."""

    def command(self, keys: Sequence[str]) -> str:
        """One line a key, tabs in a value made spaces."""
        listed = " ".join(shlex.quote(key) for key in keys)
        return f'for k in {listed}; do v=$(sysctl -n "$k" 2>/dev/null) && printf \'%s %s\\n\' "$k" "$v"; done; true'

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing."""
        return {}

    def process(self, output: Iterable[str]) -> dict[str, str]:
        """`net.core.somaxconn 4096` a line."""
        rows = (line.split(" ", 1) for line in output if " " in line)
        return {key: " ".join(value.split()) for key, value in rows}


@dataclass(frozen=True)
class Owed:
    """Reboots that a host has yet to have."""

    ours: bool = False
    """Whether an apply began changes that are whole only after it."""
    packages: tuple[str, ...] | None = None
    """Packages that ask for one, as far as they left their names; None: none does."""


class Reboots(FactBase[Owed]):
    """Whether the host owes a reboot; both marks are in memory, so that having had it clears them."""

    def command(self, marker: str) -> str:
        """One line for each mark."""
        ours, required = shlex.quote(f"{REBOOTS}/{marker}"), shlex.quote(REQUIRED)
        names = shlex.quote(f"{REQUIRED}.pkgs")
        return (
            f"[ ! -e {ours} ] || echo ours\n"
            f"[ ! -e {required} ] || {{ echo packages; sort -u -- {names} 2>/dev/null || true; }}\n"
        )

    @staticmethod
    def default() -> Owed:
        """None."""
        return Owed()

    def process(self, output: Iterable[str]) -> Owed:
        """`ours`, then `packages` and their names."""
        rows = list(output)
        ours = rows[:1] == ["ours"]
        rest = rows[1:] if ours else rows
        return Owed(ours, tuple(rest[1:]) if rest[:1] == ["packages"] else None)


@operation()
def system_is(expected: str) -> Generator[Step, None, None]:
    """Refuse a host that runs another system than the inventory says: package names would be wrong."""
    found = host.get_fact(OsRelease)
    if found != expected:
        raise FindingsError(
            Finding(
                "operating system",
                f"the host runs `{found}`, the inventory says `{expected}`",
                f"write `os: {found}` if that is right, or install {expected}",
            )
        )
    yield from ()


@operation()
def named(hostname: str) -> Generator[Step, None, None]:
    """Have the host called `hostname`, now and after a reboot."""
    found = host.get_fact(HostName)
    saw("host name", **dict(zip(("name", "boot"), found, strict=False)))
    if found != (hostname, hostname):
        quoted = shlex.quote(hostname)
        yield Step(
            f"printf '%s\\n' {quoted} >/etc/hostname.stackctl && sync -- /etc/hostname.stackctl && mv -f /etc/hostname.stackctl /etc/hostname"
            f" && hostname {quoted}",
            reason=f"host name {found[0] if found else 'unset'} becomes {hostname}",
        )


@operation()
def sysctl(values: Mapping[str, str], passing: Collection[str] = ()) -> Generator[Step, None, None]:
    """Have the running kernel use these settings; a file in /etc/sysctl.d keeps them over a reboot.

    Those that are `passing` come and go, as interfaces do: while one is not there, the file alone has it.
    """
    found = host.get_fact(Sysctl, keys=sorted(values)) if values else {}
    different: list[tuple[str, str]] = []
    for key, value in sorted(values.items()):
        saw(f"kernel setting {key}", **({"value": found[key]} if key in found else {}))
        there = key in found or key not in passing
        if there and found.get(key) != " ".join(value.split()):
            different.append((key, value))
    if len(different) > SHOWN:
        words = " ".join(shlex.quote(f"{key}={value}") for key, value in different)
        yield Step(
            f"sysctl -q -w {words}",
            reason=some([f"{key} becomes {value}" for key, value in different]),
            hint="check that this kernel has them all, or take out of the inventory what it has not",
        )
        return
    for key, value in different:
        yield Step(
            f"sysctl -q -w {shlex.quote(f'{key}={value}')}",
            reason=f"{key} {found.get(key, 'unset')} becomes {value}",
            hint=f"check that this kernel has `{key}`, or take it out of the inventory",
        )


@operation()
def reboot(
    reason: str, marker: str, after: Sequence[Any] = (), *, packages: bool = False
) -> Generator[Reboot, None, None]:
    """Restart the machine when one of the earlier operations in `after` changes something.

    A run that was cut off before it still owes it to the next, by a `marker` that no other reboot has. With
    `packages` the host is restarted as well when its installed packages ask for that.
    """
    touched = any([changes(operation) for operation in after])
    owed = host.get_fact(Reboots, marker=marker)
    reasons = [reason] if touched or owed.ours else []
    if packages and owed.packages is not None:
        who = some(owed.packages) or "an installed package"
        reasons.append(f"{who} {'ask' if len(owed.packages) > 1 else 'asks'} for it")
    if reasons:
        yield Reboot("; ".join(reasons), marker)
