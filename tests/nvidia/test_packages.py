"""Names of the driver's packages, by source, system, branch and flavour."""

import pytest

from stackctl.nvidia.packages import Flavour, Installable, cuda_toolkit, distribution_branch, driver


@pytest.mark.parametrize(
    ("source", "system", "branch", "modules", "names"),
    [
        ("nvidia", "debian-12", 580, "open", "nvidia-driver-cuda nvidia-kernel-open-dkms"),
        ("nvidia", "debian-13", 580, "proprietary", "nvidia-driver-cuda nvidia-kernel-dkms"),
        (
            "nvidia",
            "ubuntu-24.04",
            580,
            "open",
            "libnvidia-compute-580 nvidia-dkms-580-open nvidia-utils-580 nvidia-compute-utils-580",
        ),
        ("nvidia", "ubuntu-22.04", 595, "open", "libnvidia-compute nvidia-dkms-open"),
        (
            "distribution",
            "debian-13",
            550,
            "open",
            "nvidia-open-kernel-dkms nvidia-smi libcuda1 libnvidia-ml1 nvidia-persistenced",
        ),
        (
            "distribution",
            "debian-12",
            535,
            "proprietary",
            "nvidia-kernel-dkms nvidia-smi libcuda1 libnvidia-ml1 nvidia-persistenced",
        ),
        (
            "distribution",
            "ubuntu-24.04",
            580,
            "open",
            "nvidia-headless-no-dkms-580-server-open nvidia-utils-580-server linux-modules-nvidia-580-server-open-generic",
        ),
        (
            "distribution",
            "ubuntu-22.04",
            535,
            "proprietary",
            "nvidia-headless-no-dkms-535-server nvidia-utils-535-server linux-modules-nvidia-535-server-generic",
        ),
    ],
)
def test_a_driver_is_its_modules_its_libraries_and_nvidia_smi(
    source: Installable, system: str, branch: int, modules: Flavour, names: str
) -> None:
    assert " ".join(driver(source, system, branch, modules).driver) == names


def test_modules_that_are_built_need_headers_and_signed_ones_none() -> None:
    assert driver("nvidia", "debian-13", 580, "open").headers == ("linux-headers-amd64",)
    assert driver("nvidia", "ubuntu-24.04", 580, "open").headers == ("linux-headers-generic",)
    assert driver("distribution", "ubuntu-24.04", 580, "open").headers == ()


@pytest.mark.parametrize(
    ("source", "system", "branch", "names"),
    [
        ("nvidia", "debian-12", 570, ("nvidia-fabricmanager-570", "libnvidia-nscq-570")),
        ("nvidia", "debian-12", 580, ("nvidia-fabricmanager", "libnvidia-nscq")),
        ("distribution", "ubuntu-24.04", 580, ("nvidia-fabricmanager-580", "libnvidia-nscq-580")),
        ("distribution", "debian-13", 550, ()),
    ],
)
def test_the_fabric_manager_lost_its_branch_with_580_and_debian_has_none(
    source: Installable, system: str, branch: int, names: tuple[str, ...]
) -> None:
    assert driver(source, system, branch, "open").fabric == names


def test_others_are_the_other_flavour_branch_source_and_what_drags_a_driver_in() -> None:
    debian = driver("nvidia", "debian-13", 580, "open").others
    ubuntu = driver("distribution", "ubuntu-24.04", 580, "open").others

    assert {"nvidia-kernel-dkms", "nvidia-open-kernel-dkms", "cuda", "cuda-drivers-580"} <= set(debian)
    assert {
        "nvidia-headless-580-server",
        "nvidia-dkms-580-open",
        "nvidia-dkms-open",
        "nvidia-driver-595",
    } <= set(ubuntu)


@pytest.mark.parametrize("source", ["nvidia", "distribution"])
@pytest.mark.parametrize("system", ["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"])
@pytest.mark.parametrize("branch", [535, 580, 595])
@pytest.mark.parametrize("modules", ["open", "proprietary"])
def test_nothing_that_is_wanted_is_among_the_others(
    source: Installable, system: str, branch: int, modules: Flavour
) -> None:
    names = driver(source, system, branch, modules)

    assert set(names.others).isdisjoint({*names.driver, *names.headers, *names.fabric, *names.nvlink5})


def test_debian_has_one_branch_and_ubuntu_many() -> None:
    assert [distribution_branch(system) for system in ("debian-12", "debian-13", "ubuntu-24.04")] == [
        535,
        550,
        None,
    ]


def test_a_toolkit_is_one_that_brings_no_driver() -> None:
    assert cuda_toolkit("nvidia", "debian-13", "12.8") == "cuda-toolkit-12-8"
    assert cuda_toolkit("distribution", "debian-13", "12.4") == "nvidia-cuda-toolkit"
