"""What every contender is asked to have on a host: the same files, lines, packages and services. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

MOST = 200
"""Operations up to which a prepared host has everything."""

PLACE = "/etc/bench"

_PACKAGES = (
    "systemd", "dbus", "openssh-server", "sudo", "curl", "ca-certificates", "iproute2", "procps", "less",
    "kmod", "netbase", "iputils-ping", "python3", "python3-apt", "systemd-sysv", "apt", "base-files",
    "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils", "grep",
    "gzip", "hostname", "libc-bin", "mount", "passwd", "sed", "tar",
)  # fmt: skip
"""Installed on every prepared host, in the order they are asked for."""


@dataclass(frozen=True)
class Work:
    """One operation for each entry; a third files, a third lines, a sixth packages, a sixth services."""

    files: Mapping[str, str]
    """Content by path, about 1 KB each."""
    lines: Mapping[str, str]
    """A line by the path of the file it is to be in, each in a file of its own."""
    packages: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def operations(self) -> int:
        """How many operations it takes, one for each thing."""
        return len(self.files) + len(self.lines) + len(self.packages) + len(self.units)

    def json(self) -> str:
        """As the deploys read it."""
        return json.dumps(asdict(self), indent=1)


def work_of(operations: int) -> Work:
    """The first `operations` operations, `MOST` at most, in the usual shares."""
    if not 4 <= operations <= MOST:
        raise ValueError(f"{operations} operations are not between 4 and {MOST}")
    files = round(operations / 3)
    units = (operations - 2 * files) // 2
    packages = operations - 2 * files - units
    return Work(
        {f"{PLACE}/file-{number:02}.conf": _content(number) for number in range(files)},
        {f"{PLACE}/line-{number:02}.conf": _line(number) for number in range(files)},
        _PACKAGES[:packages],
        tuple(unit(number) for number in range(units)),
    )


def marker(path: str) -> str:
    """What marks the block that holds a file's line, for the contender that works by blocks."""
    return path.removeprefix(f"{PLACE}/").removesuffix(".conf")


def unit(number: int) -> str:
    """Name of a service."""
    return f"bench-{number:02}.service"


def host_files() -> dict[str, str]:
    """Every file of a prepared host, on which no contender finds anything to do."""
    work = work_of(MOST)
    lines = {path: _around(path, line) for path, line in work.lines.items()}
    units = {f"/etc/systemd/system/{name}": _UNIT for name in work.units}
    return {**work.files, **lines, **units}


def _content(number: int) -> str:
    return "".join(f"key-{number:02}-{row:02} = {'value ' * 8}\n" for row in range(16))


def _line(number: int) -> str:
    return f"option-{number:02} = on"


def _around(path: str, line: str) -> str:
    """A small settings file with the line, between the markers of stackctl's block."""
    before = "".join(f"setting-{row:02} = off\n" for row in range(10))
    name = marker(path)
    return f"{before}# stackctl {name}: begin\n{line}\n# stackctl {name}: end\n"


_UNIT = """\
[Unit]
Description=A service that does nothing

[Service]
ExecStart=/usr/bin/sleep infinity

[Install]
WantedBy=multi-user.target
"""
