"""Packages beside kernels."""

import pytest

from stackctl.nvidia.kernels import beside, realtime


@pytest.mark.parametrize(
    ("name", "images", "found"),
    [
        ("linux-headers-amd64", [], ("linux-headers-amd64",)),
        ("linux-headers-amd64", ["linux-image-amd64"], ("linux-headers-amd64",)),
        ("linux-headers-amd64", ["linux-image-cloud-amd64"], ("linux-headers-cloud-amd64",)),
        (
            "linux-headers-amd64",
            ["linux-image-cloud-amd64", "linux-image-amd64"],
            ("linux-headers-amd64", "linux-headers-cloud-amd64"),
        ),
        ("linux-headers-generic", ["linux-image-virtual"], ("linux-headers-generic",)),
        (
            "linux-modules-nvidia-580-server-generic",
            ["linux-image-generic-hwe-24.04"],
            ("linux-modules-nvidia-580-server-generic-hwe-24.04",),
        ),
        ("nvidia-smi", ["linux-image-cloud-amd64"], ("nvidia-smi",)),
    ],
)
def test_a_package_for_the_stock_kernel_has_its_like_for_others(
    name: str, images: list[str], found: tuple[str, ...]
) -> None:
    assert beside(name, images) == found


@pytest.mark.parametrize(
    ("release", "answer"),
    [
        ("6.12.57+deb13-amd64", False),
        ("6.1.0-37-cloud-amd64", False),
        ("6.1.0-37-rt-amd64", True),
        ("6.8.1-1015-realtime", True),
    ],
)
def test_real_time_kernels_are_known_by_their_names(release: str, *, answer: bool) -> None:
    assert realtime(release) is answer
