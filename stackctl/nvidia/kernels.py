"""Kernels by their names: which packages go with them, and which the driver's modules are not built for."""

from collections.abc import Collection

_REALTIME = ("-rt-amd64", "-realtime")

_STOCK = ("amd64", "generic")
"""How the names of packages end that go with Debian's and Ubuntu's stock kernels."""

_KINDS = {
    "linux-image-amd64": "amd64",
    "linux-image-cloud-amd64": "cloud-amd64",
    "linux-image-generic": "generic",
    "linux-image-virtual": "generic",
    "linux-image-generic-hwe-22.04": "generic-hwe-22.04",
    "linux-image-virtual-hwe-22.04": "generic-hwe-22.04",
    "linux-image-generic-hwe-24.04": "generic-hwe-24.04",
    "linux-image-virtual-hwe-24.04": "generic-hwe-24.04",
}

IMAGES = tuple(_KINDS)
"""Packages that bring every kernel to come, each of one kind."""


def realtime(release: str) -> bool:
    """Whether it is a kernel that NVIDIA's modules refuse to be built for."""
    return release.endswith(_REALTIME)


def beside(name: str, images: Collection[str]) -> tuple[str, ...]:
    """What `name`, a package for the stock kernel, is called for the kinds of kernels that a host gets.

    `images` are those of `IMAGES` that it has installed; where it has none, its kernels are taken for stock ones.
    """
    stem = next((name.removesuffix(kind) for kind in _STOCK if name.endswith(f"-{kind}")), None)
    kinds = dict.fromkeys(kind for image, kind in _KINDS.items() if image in images)
    return tuple(f"{stem}{kind}" for kind in kinds) if stem is not None and kinds else (name,)
