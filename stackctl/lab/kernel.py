"""What of a lab exists right now, as the kernel tells it; no file of ours is trusted for that."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from stackctl.core.finding import FailureError, Finding
from stackctl.lab.shell import run
from stackctl.lab.spec import STATE, is_namespace_of

NAMESPACES = Path("/run/netns")
"""Where `ip netns` keeps them, by name."""
_NAMESPACE_ARGUMENT = re.compile(rf"--(?:net|network-namespace-path)={NAMESPACES}/(?P<name>.+)")
_PATIENCE = 20.0


def namespaces(lab: str) -> list[str]:
    """Names of the lab's network namespaces, also of those that a crash left half made."""
    if not NAMESPACES.is_dir():
        return []
    return sorted(name for name in os.listdir(NAMESPACES) if is_namespace_of(lab, name))  # noqa: PTH208


def is_complete(namespace: str) -> bool:
    """Whether the namespace is there and not only the file that a crash left where it was to be mounted."""
    try:
        return (NAMESPACES / namespace).stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except FileNotFoundError:
        return False


def marker(lab: str) -> str:
    """Argument that marks a process of the lab that is not inside one of its namespaces."""
    return f"--stackctl-lab={lab}"


def processes(lab: str) -> list[int]:
    """Processes inside the lab's namespaces, and those that hold them open or watch over its hosts."""
    inside = {_identity(NAMESPACES / name) for name in namespaces(lab)} - {None}
    return [
        pid
        for pid in _all_processes()
        if pid != os.getpid() and (_identity(f"/proc/{pid}/ns/net") in inside or _is_marked(pid, lab))
    ]


def watcher(namespace: str) -> int | None:
    """The process that runs the host of this namespace: systemd-nspawn, or QEMU, whose guest has its name."""
    wanted = {
        "systemd-nspawn": f"--network-namespace-path={NAMESPACES}/{namespace}",
        "qemu-system-x86_64": namespace,
    }
    for pid in _all_processes():
        words = _argv(pid)
        if words and words[0] in wanted and wanted[words[0]] in words:
            return pid
    return None


def init_of(watcher_pid: int) -> int | None:
    """The host's first process, seen from here."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{watcher_pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if re.search(r"^NSpid:.*\s1$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE):
                    return int(child)
    return None


def runs(lab: str, word: str) -> bool:
    """Whether a process of the lab has this exact word in its command line."""
    return any(word in _argv(pid) for pid in processes(lab))


def mounts_below(directory: Path) -> list[str]:
    """Mount points below a directory, last mounted first."""
    points = [
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4])
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    return [point for point in reversed(points) if point.startswith(f"{directory}/")]


def labs() -> list[str]:
    """Names of the labs that have any state on this machine."""
    return sorted(path.name for path in STATE.iterdir()) if STATE.is_dir() else []


def kill_all(lab: str) -> None:
    """End every process of the lab and wait until they are gone."""
    deadline = time.monotonic() + _PATIENCE
    while pids := processes(lab):
        if time.monotonic() > deadline:
            raise FailureError(
                Finding(f"lab {lab}", f"processes {', '.join(map(str, pids))} do not end", "see `ps` for why")
            )
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def unmount_below(directory: Path) -> None:
    """Unmount everything below a directory; what is still busy goes when its last user does."""
    for point in mounts_below(directory):
        run(["umount", "--lazy", point])


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _argv(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _is_marked(pid: int, lab: str) -> bool:
    words = _argv(pid)
    return marker(lab) in words or any(
        is_namespace_of(lab, match["name"])
        for word in words
        if (match := _NAMESPACE_ARGUMENT.fullmatch(word))
    )
