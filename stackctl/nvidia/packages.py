"""Names of the driver's packages: four sources and flavours that call the same things differently."""

from dataclasses import dataclass
from typing import Literal

Installable = Literal["nvidia", "distribution"]
Flavour = Literal["open", "proprietary"]

UNVERSIONED = 590
"""The first branch whose packages in NVIDIA's repository for Ubuntu have no branch in their names."""

UNVERSIONED_FABRIC = 580
"""The first branch whose fabric manager has no branch in its name."""

BRANCHES = (470, 510, 515, 525, 530, 535, 545, 550, 555, 560, 565, 570, 575, 580, 590, 595, 610, 615, 620)
"""Branches that Ubuntu's or NVIDIA's package names may tell of; those of hosts that were set up long ago too."""

_HEADERS = {"debian": ("linux-headers-amd64",), "ubuntu": ("linux-headers-generic",)}

_DISTRIBUTION = {"debian-12": 535, "debian-13": 550}


@dataclass(frozen=True)
class Names:
    """What to install for a driver without a display, as apt calls it; no versions."""

    driver: tuple[str, ...]
    """Modules, libraries and nvidia-smi; to be installed without what they only recommend, which is a desktop."""
    headers: tuple[str, ...]
    """What modules are built against; none where they come built and signed. For the stock kernel: a cloud
    kernel has headers of its own."""
    fabric: tuple[str, ...]
    """NVSwitch's manager; none where the source has none."""
    nvlink5: tuple[str, ...]
    """What the manager needs as well where the switches are of NVLink's fifth generation."""
    others: tuple[str, ...]
    """Drivers of another source, flavour or branch that must not stay beside it, sorted."""


def driver(source: Installable, system: str, branch: int, modules: Flavour) -> Names:
    """The driver of a branch for `debian-13` and the like; of Debian's own there is one branch only."""
    family = system.partition("-")[0]
    names = _driver(source, family, branch, modules)
    built = source == "distribution" and family == "ubuntu"
    return Names(
        driver=names,
        headers=() if built else _HEADERS[family],
        fabric=_fabric(source, family, branch),
        nvlink5=("nvlsm", "infiniband-diags") if source == "nvidia" else (),
        others=tuple(sorted(_all(family).difference(names))),
    )


def distribution_branch(system: str) -> int | None:
    """The branch of Debian's own driver; None: Ubuntu has several, each under names of its own."""
    return _DISTRIBUTION.get(system)


def cuda_toolkit(source: Installable, system: str, version: str) -> str:
    """The package of a CUDA toolkit that brings no driver.

    The distributions have one version each, whatever is asked for.
    """
    del system
    return f"cuda-toolkit-{version.replace('.', '-')}" if source == "nvidia" else "nvidia-cuda-toolkit"


def _driver(source: Installable, family: str, branch: int, modules: Flavour) -> tuple[str, ...]:
    if family == "ubuntu":
        return _ubuntu(branch, modules) if source == "nvidia" else _ubuntu_own(branch, modules)
    return _debian(modules) if source == "nvidia" else _debian_own(modules)


def _debian(modules: Flavour) -> tuple[str, ...]:
    return ("nvidia-driver-cuda", "nvidia-kernel-open-dkms" if modules == "open" else "nvidia-kernel-dkms")


def _debian_own(modules: Flavour) -> tuple[str, ...]:
    kernel = "nvidia-open-kernel-dkms" if modules == "open" else "nvidia-kernel-dkms"
    return (kernel, "nvidia-smi", "libcuda1", "libnvidia-ml1", "nvidia-persistenced")


def _ubuntu(branch: int, modules: Flavour) -> tuple[str, ...]:
    if branch >= UNVERSIONED:
        return ("libnvidia-compute", f"nvidia-dkms{_open(modules)}")
    return (
        f"libnvidia-compute-{branch}",
        f"nvidia-dkms-{branch}{_open(modules)}",
        f"nvidia-utils-{branch}",
        f"nvidia-compute-utils-{branch}",
    )


def _ubuntu_own(branch: int, modules: Flavour) -> tuple[str, ...]:
    """Server branches: the others turn into their successors by transitional packages.

    The modules are Canonical's own builds, which Secure Boot accepts.
    """
    flavour = f"{branch}-server{_open(modules)}"
    return (
        f"nvidia-headless-no-dkms-{flavour}",
        f"nvidia-utils-{branch}-server",
        f"linux-modules-nvidia-{flavour}-generic",
    )


def _open(modules: Flavour) -> str:
    return "-open" if modules == "open" else ""


def _fabric(source: Installable, family: str, branch: int) -> tuple[str, ...]:
    if source == "distribution" and family == "debian":
        return ()
    if source == "distribution" or branch < UNVERSIONED_FABRIC:
        return (f"nvidia-fabricmanager-{branch}", f"libnvidia-nscq-{branch}")
    return ("nvidia-fabricmanager", "libnvidia-nscq")


def _all(family: str) -> set[str]:
    """Every name under which a driver, its modules or a metapackage of both may be installed."""
    names = {"cuda", "cuda-drivers", "nvidia-driver", "nvidia-open"}
    if family == "debian":
        names.update(*(_debian(modules) for modules in _FLAVOURS))
        names.update(("nvidia-kernel-dkms", "nvidia-open-kernel-dkms"))
    for branch in BRANCHES:
        names.update((f"cuda-drivers-{branch}", f"nvidia-open-{branch}"))
        names.update(_ubuntu_names(branch) if family == "ubuntu" else ())
    return names


def _ubuntu_names(branch: int) -> set[str]:
    names = set[str]()
    for modules in _FLAVOURS:
        names.update(_ubuntu(branch, modules))
        names.update(_ubuntu_own(branch, modules))
        for kind in (f"{branch}{_open(modules)}", f"{branch}-server{_open(modules)}"):
            names.update(
                f"nvidia-{what}-{kind}" for what in ("driver", "headless", "headless-no-dkms", "dkms")
            )
            names.add(f"linux-modules-nvidia-{kind}-generic")
    return names


_FLAVOURS: tuple[Flavour, ...] = ("open", "proprietary")
