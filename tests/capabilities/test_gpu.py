from pathlib import Path

import pytest

from stackctl.capabilities import gpu, load_fleet
from stackctl.render import job
from tests.expected import expect_files, files_of
from tests.inventory import HOSTS, fleet, project

UUID = "GPU-00000000-0000-4000-8000-000000000001"
CARD = f"uuid: {UUID}, pci: '0000:41:00.0', id: '10de:2330'"


def host(settings: str) -> str:
    return f"hosts: {{a: {{address: 10.0.0.1, {settings}}}}}"


def resolved(folder: Path, settings: str) -> gpu.GpuSpec:
    spec = gpu.resolve(fleet(folder, host(settings)), "a")
    assert spec is not None
    return spec


def test_a_host_without_gpus_is_left_alone(tmp_path: Path) -> None:
    assert gpu.resolve(fleet(tmp_path, HOSTS), "gpu1") is None


def test_a_host_whose_driver_somebody_else_installs_has_no_packages(tmp_path: Path) -> None:
    spec = resolved(tmp_path, f"gpus: {{x: {{{CARD}}}}}")

    assert (spec.source, spec.names, spec.sources, spec.pin) == ("existing", None, (), None)


@pytest.mark.parametrize(
    ("system", "driver", "pin", "packages"),
    [
        ("debian-13", "source: distribution", "550", ["nvidia-open-kernel-dkms", "nvidia-smi", "libcuda1"]),
        ("debian-12", "source: distribution", "535", ["nvidia-kernel-dkms", "nvidia-smi", "libcuda1"]),
        (
            "debian-13",
            "source: nvidia, branch: 580",
            "580",
            ["nvidia-driver-cuda", "nvidia-kernel-open-dkms"],
        ),
        (
            "debian-12",
            "source: nvidia, version: 580.178.04",
            "580.178.04",
            ["nvidia-driver-cuda", "nvidia-kernel-open-dkms"],
        ),
        ("ubuntu-24.04", "source: nvidia, branch: 595", "595", ["libnvidia-compute", "nvidia-dkms-open"]),
        (
            "ubuntu-24.04",
            "source: distribution, branch: 580",
            "580",
            ["nvidia-headless-no-dkms-580-server-open", "nvidia-utils-580-server"],
        ),
    ],
)
def test_source_and_system_say_which_packages_at_which_version(
    tmp_path: Path, system: str, driver: str, pin: str, packages: list[str]
) -> None:
    card = CARD.replace("2330", "20b0") if "535" in pin else CARD
    spec = resolved(tmp_path, f"os: {system}, driver: {{{driver}}}, gpus: {{x: {{{card}}}}}")

    assert spec.pin == pin
    assert spec.names is not None
    assert set(packages) <= set(spec.names.driver)


def test_old_cards_get_the_proprietary_modules(tmp_path: Path) -> None:
    card = f"uuid: {UUID}, id: '10de:1b06'"
    spec = resolved(tmp_path, f"driver: {{source: nvidia, branch: 580}}, gpus: {{x: {{{card}}}}}")

    assert spec.modules == "proprietary"
    assert spec.names is not None
    assert "nvidia-kernel-dkms" in spec.names.driver
    assert "nvidia-kernel-open-dkms" in spec.names.others


def test_a_site_has_its_own_copies_of_repository_and_key(tmp_path: Path) -> None:
    mirror = "repository: {url: 'https://mirror.lan/cuda'}"
    spec = resolved(tmp_path, f"driver: {{source: nvidia, branch: 580, {mirror}}}, gpus: {{x: {{{CARD}}}}}")

    [source] = spec.sources
    assert (source.url, source.key) == ("https://mirror.lan/cuda", "https://mirror.lan/cuda/8793F200.pub")
    assert source.fingerprint == "02182E60104FCDC26EAE1B8597A5D4CB8793F200"


def test_a_cards_own_tuning_wins_setting_by_setting(tmp_path: Path) -> None:
    shared = "tuning: {power_limit: 600, ecc: true}"
    card = f"{CARD}, tuning: {{power_limit: 450}}"
    spec = resolved(tmp_path, f"driver: {{source: nvidia, branch: 580, {shared}}}, gpus: {{x: {{{card}}}}}")

    assert [(card.power_limit, card.ecc) for card in spec.cards] == [(450, True)]


SETTINGS = f"""
      os: ubuntu-24.04
      roles: [models]
      driver:
        source: nvidia
        branch: 580
        tuning: {{power_limit: 600, ecc: true}}
      gpus:
        a: {{{CARD}, tuning: {{clocks: "1593,1410"}}}}
        b: {{uuid: {UUID[:-1]}2, pci: '0000:42:00.0', id: '10de:2330', tuning: {{mig: [3g.40gb, 3g.40gb]}}}}
        c: {{pci: '0000:43:00.0', id: '10de:2330', use: passthrough}}
"""


def test_files_keep_apt_to_one_driver_and_set_the_cards_at_boot(tmp_path: Path) -> None:
    found = project(tmp_path, f"hosts:\n    a:\n      address: 10.0.0.1{SETTINGS}")
    made = job(load_fleet(found.root, "test"), found, "a")

    expect_files("gpu/a", files_of(made, "gpu"))


def test_a_driver_that_is_not_held_is_left_to_unattended_upgrades(tmp_path: Path) -> None:
    spec = resolved(
        tmp_path, f"driver: {{source: nvidia, branch: 580, hold: false}}, gpus: {{x: {{{CARD}}}}}"
    )

    [file] = [item for item in gpu.templates(spec) if item.path == gpu.UNATTENDED]
    assert file.values == {"patterns": ()}
