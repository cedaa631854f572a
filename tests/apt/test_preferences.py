"""What apt really chooses, with our preferences and without."""

from pathlib import Path

import pytest

from stackctl.nvidia.packages import driver
from tests.apt.flat import Key
from tests.apt.root import Root, run
from tests.apt.vendor import DEBIAN, NVIDIA, NVIDIA_UBUNTU, UBUNTU, offer, preferences, unattended
from tests.expected import expect_files


@pytest.fixture
def debian(root: Root, key: Key, tmp_path: Path) -> Root:
    """A Debian host that asks NVIDIA as well."""
    offer(root, key, tmp_path / "nvidia", "NVIDIA", "NVIDIA CUDA", NVIDIA)
    offer(root, key, tmp_path / "debian", "Debian", "Debian", DEBIAN)
    root.update()
    return root


@pytest.fixture
def ubuntu(root: Root, key: Key, tmp_path: Path) -> Root:
    """An Ubuntu host that asks NVIDIA as well."""
    offer(root, key, tmp_path / "nvidia", "NVIDIA", "NVIDIA CUDA", NVIDIA_UBUNTU)
    offer(root, key, tmp_path / "ubuntu", "Ubuntu", "Ubuntu", UBUNTU)
    root.update()
    return root


def test_without_preferences_a_package_called_580_brings_another_branch(debian: Root) -> None:
    found = debian.install("cuda-drivers-580")

    assert found["cuda-drivers-580"] == "580.178.04-1"
    assert not found["nvidia-driver"].startswith("580.")


def test_with_preferences_it_brings_the_branch(debian: Root) -> None:
    debian.preferences(preferences("nvidia", "580"))

    found = debian.install("cuda-drivers-580")

    assert {version for name, version in found.items()} == {"580.178.04-1"}


def test_without_preferences_the_fabric_manager_is_of_the_newest_branch(debian: Root) -> None:
    assert debian.install("nvidia-fabricmanager") == {"nvidia-fabricmanager": "590.48.01-1"}


@pytest.mark.parametrize(
    ("pin", "version"), [("580", "580.178.04-1"), ("580.126.09", "580.126.09-1"), ("590", "590.48.01-1")]
)
@pytest.mark.parametrize("modules", ["open", "proprietary"])
def test_all_that_belongs_to_a_driver_is_of_the_pinned_version(
    debian: Root, pin: str, version: str, modules: str
) -> None:
    debian.preferences(preferences("nvidia", pin))
    names = driver("nvidia", "debian-13", 580, "open" if modules == "open" else "proprietary")

    found = debian.install(*names.driver, *names.fabric)

    assert set(names.driver) | set(names.fabric) <= set(found)
    assert set(found.values()) == {version}


def test_a_newer_installed_version_goes_back_to_the_pinned(debian: Root) -> None:
    debian.installed("nvidia-fabricmanager=590.48.01-1")
    debian.preferences(preferences("nvidia", "580"))

    assert debian.install("nvidia-fabricmanager") == {"nvidia-fabricmanager": "580.178.04-1"}


def test_a_lost_part_comes_back_at_the_version_of_the_rest_though_the_branch_has_a_newer_one(
    debian: Root,
) -> None:
    debian.preferences(preferences("nvidia", "580"))
    debian.installed("libcuda1=580.126.09-1", "nvidia-persistenced=580.126.09-1")

    assert debian.install("nvidia-driver-cuda=580.126.09-*") == {"nvidia-driver-cuda": "580.126.09-1"}


def test_debians_packages_of_the_same_name_stay_away_though_newer(debian: Root) -> None:
    assert debian.install("nvidia-persistenced") == {"nvidia-persistenced": "1:600.1-1"}
    debian.preferences(preferences("nvidia", None))

    assert debian.install("nvidia-persistenced") == {"nvidia-persistenced": "590.48.01-1"}


def test_what_nvidias_packages_need_of_debian_may_come(debian: Root) -> None:
    debian.preferences(preferences("nvidia", "580"))

    assert debian.install("nvidia-support") == {"nvidia-support": "20240109+1"}


def test_nvidias_repository_never_brings_a_driver_where_debians_is_used(debian: Root) -> None:
    debian.preferences(preferences("distribution", None))
    names = driver("distribution", "debian-13", 550, "proprietary")

    found = debian.install(*names.driver)

    assert set(found.values()) == {"1:600.1-1"}
    assert "has no installation candidate" in debian.refusal("nvidia-fabricmanager")
    assert "has no installation candidate" in debian.refusal("cuda-drivers-580")
    assert "has no installation candidate" in debian.refusal("cuda")
    assert debian.install("cuda-toolkit-12-8") == {"cuda-toolkit-12-8": "12.8.1-1"}


def test_ubuntus_packages_of_the_same_name_stay_away_though_newer_and_of_the_branch(ubuntu: Root) -> None:
    names = driver("nvidia", "ubuntu-24.04", 580, "open").driver
    assert set(ubuntu.install(*names).values()) == {"580.200.01-0ubuntu0.24.04.1"}
    ubuntu.preferences(preferences("nvidia", "580"))

    assert set(ubuntu.install(*names).values()) == {"580.178.04-0ubuntu1"}


def test_names_without_a_branch_are_of_the_pinned_branch(ubuntu: Root) -> None:
    ubuntu.preferences(preferences("nvidia", "595"))

    assert ubuntu.install(*driver("nvidia", "ubuntu-24.04", 595, "open").driver) == {
        "libnvidia-compute": "595.91.07-1ubuntu1",
        "nvidia-dkms-open": "595.91.07-1ubuntu1",
    }


def test_ubuntus_own_server_branch_comes_with_signed_modules_and_without_dkms(ubuntu: Root) -> None:
    ubuntu.preferences(preferences("distribution", "580"))

    found = ubuntu.install(*driver("distribution", "ubuntu-24.04", 580, "open").driver)

    assert "linux-objects-nvidia-580-server-open-6.8.0-90-generic" in found
    assert not any("dkms" in name for name in found if "no-dkms" not in name)


def test_the_files_are_as_reviewed() -> None:
    expect_files(
        "gpu/apt",
        {
            "nvidia-580": preferences("nvidia", "580"),
            "nvidia-580.178.04": preferences("nvidia", "580.178.04"),
            "distribution": preferences("distribution", None),
            "52stackctl-nvidia": unattended(),
        },
    )


def test_apt_reads_the_list_of_what_unattended_upgrades_leave_alone(root: Root) -> None:
    (root.folder / "etc/apt/apt.conf.d/52stackctl-nvidia").write_text(unattended())

    found = run(
        ["apt-config", "dump", "--format", "%v%n", "Unattended-Upgrade::Package-Blacklist"],
        root.environment(),
    )

    assert "libnvidia-\n" in found.stdout
