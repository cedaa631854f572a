"""A control group for each host: systemd on this machine makes it, or where there is none, we do."""

import contextlib
import os
import time
from pathlib import Path

from stackctl.lab.spec import is_namespace_of

_PATIENCE = 20.0
_ENTER = (
    'for group in $1; do echo $$ > "$group/cgroup.procs"; done; shift; while "$@"; [ $? -eq 133 ]; do :; done'
)
"""Joins the groups, then runs systemd-nspawn, again when it says (133) that the host wants to restart."""


def has_systemd() -> bool:
    """Whether this machine itself runs systemd, which then owns the tree of control groups."""
    return Path("/run/systemd/system").is_dir()


def nspawn_flags() -> list[str]:
    """How systemd-nspawn is to come by a control group."""
    return [] if has_systemd() else ["--keep-unit"]


def entering(name: str) -> list[str]:
    """Words before a command: run it in control groups of that name, and again when it asks for a restart."""
    groups = []
    if not has_systemd():
        for tree in _trees():
            group = tree / name
            group.mkdir(exist_ok=True)
            groups.append(str(group))
    return ["sh", "-c", _ENTER, "stackctl-lab", " ".join(groups)]


def remove(lab: str) -> None:
    """Remove the groups of a lab's hosts, whose processes have been killed."""
    deadline = time.monotonic() + _PATIENCE
    for group in of_lab(lab):
        while not _is_removed(group) and time.monotonic() < deadline:
            time.sleep(0.05)


def _is_removed(group: Path) -> bool:
    """Try to remove a tree of groups; one is busy until the last killed process in it is quite gone."""
    for directory, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not group.exists()


def of_lab(lab: str) -> list[Path]:
    """The groups that `entering` made for a lab's hosts, which are named like their namespaces."""
    if has_systemd():
        return []
    return [group for tree in _trees() for group in tree.iterdir() if is_namespace_of(lab, group.name)]


def _trees() -> list[Path]:
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [
        Path(line[4])
        for line in lines
        if line[line.index("-") + 1] == "cgroup2"
        or (line[line.index("-") + 1] == "cgroup" and "name=systemd" in line[-1].split(","))
    ]
