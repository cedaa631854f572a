"""What keeps apt to one source of the driver and to one version of it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Pin:
    """A paragraph of apt's preferences; of those that match a package's version, the first one counts."""

    why: str
    packages: tuple[str, ...]
    """Names, with `*`; `src:` before it means all that is built of a source."""
    which: str
    """What they have to be like, in apt's words: `version 580.*`, `release o=Debian`."""
    priority: int


NEVER = -1
EVEN_BACK = 1001
"""Above 1000 a version is taken in place of a newer one that is installed."""

PPA = "LP-PPA-graphics-drivers"

# By source where the distribution's are to stay away: `nvidia-support` and `glx-alternative-nvidia` of Debian's
# contrib are what NVIDIA's packages for Debian rest on, so that `*nvidia*` would leave nothing to install.
DISTRIBUTIONS = (
    "src:nvidia-graphics-drivers*:any",
    "src:nvidia-open-gpu-kernel-modules*:any",
    "src:nvidia-persistenced:any",
    "src:nvidia-modprobe:any",
    "src:nvidia-settings*:any",
    "src:nvidia-xconfig:any",
    "src:nvidia-cuda-toolkit:any",
    "src:fabric-manager-*:any",
    "src:libnvidia-nscq-*:any",
    "linux-modules-nvidia-*",
    "linux-objects-nvidia-*",
    "linux-signatures-nvidia-*",
)

VENDORS = (
    "*nvidia*",
    "src:*nvidia*:any",
    "libcuda1",
    "libcudadebugger1",
    "cuda",
    "cuda-drivers*",
    "cuda-runtime-*",
)

VERSIONED = (
    "*nvidia*",
    "src:*nvidia*:any",
    "src:cuda-drivers*:any",
    "src:cuda-compat*:any",
    "cuda-drivers*",
    "cuda-compat*",
    "libcuda1",
    "libcudadebugger1",
    "libnvsdm*",
)


def pins(source: Literal["nvidia", "distribution"], pin: str | None) -> tuple[Pin, ...]:
    """The paragraphs, in order; `pin` is a branch or a whole version, None where any will do."""
    found = _nvidia_alone() if source == "nvidia" else _distribution_alone()
    if pin is None:
        return found
    return (
        *found,
        Pin("This version wins, whatever is newer.", VERSIONED, f"version {pattern(pin)}", EVEN_BACK),
    )


def pattern(pin: str) -> str:
    """Versions of Debian packages that are of a branch (`580`) or of a driver's version (`580.178.04`)."""
    return f"{pin}-*" if "." in pin else f"{pin}.*"


UNATTENDED = (
    "nvidia-",
    "libnvidia-",
    "firmware-nvidia-",
    "xserver-xorg-video-nvidia",
    "cuda-",
    "cuda$",
    "libcuda",
    "libnvsdm",
    "nvlsm",
)
"""Beginnings of names that unattended upgrades leave alone.

Canonical's built modules are not among them: a new kernel without its modules is worse, and they come only
with the driver's version that they were built for.
"""


def _nvidia_alone() -> tuple[Pin, ...]:
    why = "The driver is NVIDIA's; the distribution's has the same names and other files."
    origins = ("Debian", "Debian Backports", "Ubuntu", PPA)
    return tuple(Pin(why, DISTRIBUTIONS, f"release o={origin}", NEVER) for origin in origins)


def _distribution_alone() -> tuple[Pin, ...]:
    why = "The driver is the distribution's; NVIDIA's has the same names and other files."
    return (
        Pin(why, VENDORS, "release l=NVIDIA CUDA", NEVER),
        Pin(why, DISTRIBUTIONS, f"release o={PPA}", NEVER),
        Pin(why, VENDORS, 'origin "developer.download.nvidia.com"', NEVER),
    )
