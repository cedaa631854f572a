"""Debian's real packages and the real resolver; needs the package mirror."""

from pathlib import Path

import pytest

from stackctl.nvidia.packages import distribution_branch, driver
from tests.apt.root import Root
from tests.apt.vendor import preferences

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def bookworm(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return _debian(tmp_path_factory.mktemp("bookworm"), "bookworm")


@pytest.fixture(scope="module")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return _debian(tmp_path_factory.mktemp("trixie"), "trixie")


def _debian(folder: Path, suite: str) -> Root:
    root = Root(folder / "root")
    root.debian(suite)
    root.update()
    return root


def test_bookworms_driver_resolves_without_a_desktop(bookworm: Root) -> None:
    bookworm.preferences(preferences("distribution", None))
    names = driver("distribution", "debian-12", 535, "proprietary")

    found = bookworm.install(*names.driver, *names.headers)

    assert found["nvidia-kernel-dkms"].startswith(f"{distribution_branch('debian-12')}.")
    assert not any(name.startswith("xserver-xorg") for name in found)


def test_bookworms_open_modules_cannot_be_installed_beside_its_security_updates(bookworm: Root) -> None:
    bookworm.preferences(preferences("distribution", None))

    told = bookworm.refusal(*driver("distribution", "debian-12", 535, "open").driver)

    assert "nvidia-open-kernel-dkms : Depends: firmware-nvidia-gsp (= 535.261.03)" in told


def test_bookworms_open_modules_can_where_the_whole_driver_is_pinned_to_their_version(bookworm: Root) -> None:
    bookworm.preferences(preferences("distribution", "535.261.03"))

    found = bookworm.install(*driver("distribution", "debian-12", 535, "open").driver)

    assert found["nvidia-open-kernel-dkms"] == found["libcuda1"] == "535.261.03-1"


@pytest.mark.parametrize("modules", ["open", "proprietary"])
def test_trixies_driver_resolves_in_both_flavours_without_a_desktop(trixie: Root, modules: str) -> None:
    trixie.preferences(preferences("distribution", "550"))
    names = driver("distribution", "debian-13", 550, "open" if modules == "open" else "proprietary")

    found = trixie.install(*names.driver, *names.headers)

    assert found[names.driver[0]].startswith(f"{distribution_branch('debian-13')}.")
    assert not any(name.startswith("xserver-xorg") for name in found)


@pytest.mark.parametrize("host", ["bookworm", "trixie"])
def test_none_of_debians_driver_is_left_where_nvidias_is_wanted(
    host: str, request: pytest.FixtureRequest
) -> None:
    root: Root = request.getfixturevalue(host)
    root.preferences(preferences("nvidia", "580"))

    for name in driver("distribution", "debian-13", 550, "open").driver:
        assert "has no installation candidate" in root.refusal(name)
    assert root.install("nvidia-support", "glx-alternative-nvidia")
