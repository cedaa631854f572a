"""How much memory a program takes at most, its children included."""

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.measure import BrokenError

_EVERY = 0.1
"""Seconds between two looks: long enough to cost little, short beside a plan of many hosts."""


def measure_with_memory(argv: Sequence[str | Path], env: Mapping[str, str]) -> tuple[str, float]:
    """Run a program to its end: what it wrote, and the most MiB that it and its children had at once."""
    words = [str(word) for word in argv]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=dict(env)) as process:
        ended = threading.Event()
        peak = [0.0]
        watch = threading.Thread(target=_watch, args=(process.pid, ended, peak))
        watch.start()
        try:
            said, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
        finally:
            ended.set()
            watch.join()
    if process.returncode:
        raise BrokenError(f"`{' '.join(words)}` exited with {process.returncode}")
    return said, peak[0]


def _watch(pid: int, ended: threading.Event, peak: list[float]) -> None:
    while not ended.wait(_EVERY):
        peak[0] = max(peak[0], held(family(pid)))


def held(pids: Iterable[int]) -> float:
    """MiB that processes have together."""
    return sum(map(_mebibytes, pids))


def family(pid: int) -> Iterator[int]:
    """A process and all that came of it."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def _mebibytes(pid: int) -> float:
    """Its proportional share, in which memory that processes share counts once between them."""
    with contextlib.suppress(OSError):
        if found := re.search(
            r"^Pss: +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
        ):
            return int(found[1]) / 1024
    return 0.0
