"""A host's own layer over the base that it shares with others."""

from pathlib import Path

from stackctl.lab import cache, kernel
from stackctl.lab.shell import run

_PARTS = ("upper", "work")


def make(home: Path) -> Path:
    """An empty layer for what is the host's own."""
    for part in _PARTS:
        (home / part).mkdir(parents=True)
    return home / "upper"


def mounted(base: Path, home: Path, *, where: str) -> Path:
    """The base with the host's layer over it, as one tree."""
    root = home / "root"
    if str(root) not in kernel.mounts_below(home):
        root.mkdir(exist_ok=True)
        options = f"lowerdir={base},upperdir={home / 'upper'},workdir={home / 'work'}"
        run(["mount", "-t", "overlay", "-o", options, "stackctl-lab", root], where=where)
    return root


def discard(home: Path) -> None:
    """Remove the layer."""
    kernel.unmount_below(home)
    for part in _PARTS:
        cache.remove_tree(home / part)
