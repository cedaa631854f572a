"""The manager of NVSwitches: where they are, at the driver's version, and not elsewhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.nvidia import packages
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import KERNEL, PCI, SPEC, UUID, planned, reasons

CALL = "fabric.managed(name='manage the NVSwitches', spec=spec)"
NAMES = packages.driver("nvidia", "debian-13", 580, "open")
NVIDIA = replace(SPEC, source="nvidia", pin="580", names=NAMES)


def board(folder: Path, installed: dict[str, str], *, switches: bool = True) -> FakeHost:
    """A host with the driver 580.95.05 and, unless told otherwise, NVSwitches."""
    host = FakeHost(folder)
    host.device(PCI, "2330", "0302")
    host.kernel(KERNEL, running=True)
    host.loaded("580.95.05")
    host.packages({**dict.fromkeys(NAMES.driver, "580.95.05-1"), **installed})
    host.units({"nvidia-fabricmanager.service": "active"} if "nvidia-fabricmanager" in installed else {})
    host.smi()
    host.smi_gpu(UUID, PCI)
    if switches:
        host.write("proc/driver/nvidia-nvswitch/devices/0000:05:00.0")
    return host


def test_without_switches_there_is_no_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reasons(planned(board(tmp_path, {}, switches=False), monkeypatch, CALL, NVIDIA)) == []


def test_with_switches_the_manager_comes_at_the_drivers_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reasons(planned(board(tmp_path, {}), monkeypatch, CALL, NVIDIA)) == [
        (
            "nvidia-fabricmanager is missing and becomes 580.95.05, as the driver is;"
            " start the manager of the NVSwitches, and wait for the fabric"
        )
    ]


def test_a_newer_manager_is_taken_back_to_the_drivers_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = board(tmp_path, {"nvidia-fabricmanager": "590.48.01-1"})

    assert reasons(planned(host, monkeypatch, CALL, NVIDIA)) == [
        "nvidia-fabricmanager 590.48.01-1 becomes 580.95.05, as the driver is"
    ]


def test_a_manager_of_the_same_version_that_runs_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = board(tmp_path, {"nvidia-fabricmanager": "580.95.05-1"})

    assert reasons(planned(host, monkeypatch, CALL, NVIDIA)) == []
