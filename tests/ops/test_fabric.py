"""The manager of NVSwitches: where they are, at the driver's version, and not elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

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
    host.packages({**dict.fromkeys(NAMES.driver, "580.95.05-1"), **installed}, held=tuple(installed))
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
            "nvidia-fabricmanager is missing and becomes 580.95.05, as the driver is; hold nvidia-fabricmanager;"
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


RIGHT = {"nvidia-fabricmanager": "580.95.05-1"}


def test_the_manager_comes_at_the_drivers_version_though_the_branch_has_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = board(tmp_path, {"nvidia-fabricmanager": "580.178.04-1"})

    [change] = planned(host, monkeypatch, CALL, NVIDIA).changes

    assert "'nvidia-fabricmanager=580.95.05-*'" in change.commands[0]


def test_a_manager_that_apt_may_move_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = board(tmp_path, RIGHT)
    host.packages({**dict.fromkeys(NAMES.driver, "580.95.05-1"), **RIGHT})

    assert reasons(planned(host, monkeypatch, CALL, NVIDIA)) == ["hold nvidia-fabricmanager"]
    assert reasons(planned(host, monkeypatch, CALL, replace(NVIDIA, hold=False))) == []


def test_a_fabric_that_is_not_ready_has_its_manager_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = board(tmp_path, RIGHT)
    host.cards.clear()
    (host.state / "xml").write_text("")
    host.smi_gpu(UUID, PCI, fabric="In Progress")

    assert reasons(planned(host, monkeypatch, CALL, NVIDIA)) == [
        "restart the manager of the NVSwitches, the fabric is In Progress, and wait for the fabric"
    ]


def test_switches_of_the_fifth_generation_need_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = board(tmp_path, RIGHT)
    host.write("sys/class/infiniband/mlx5_0/device/vpd", "SW_MNG")

    assert reasons(planned(host, monkeypatch, CALL, NVIDIA)) == ["install nvlsm, infiniband-diags"]


@pytest.mark.parametrize("fabric", ["auto", "no"])
def test_a_manager_with_nothing_to_manage_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fabric: Literal["auto", "no"]
) -> None:
    host = board(tmp_path, RIGHT, switches=fabric == "no")
    host.units({"nvidia-fabricmanager.service": "failed"})

    assert reasons(planned(host, monkeypatch, CALL, replace(NVIDIA, fabric=fabric))) == [
        "stop nvidia-fabricmanager.service, it is failed and there is nothing for it to manage"
    ]
