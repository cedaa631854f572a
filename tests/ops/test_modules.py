"""Modules swapped under running containers, and what is planned before they are there."""

from pathlib import Path

import pytest

from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import ALL, KERNEL, PCI, planned, reasons, run_script, working
from tests.ops.programs import program


def test_what_uses_the_gpus_stops_before_the_swap_and_starts_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.loaded("535.309.01")
    host.holder(4711, "VLLM::EngineCor", container="0123456789abcdef")
    [change] = planned(host, monkeypatch, ALL).changes
    for name in ("systemctl", "docker", "rmmod", "modprobe", "cat"):
        answer = "echo 550.163.01" if name == "cat" else ""
        program(host.bin, name, f'echo "{name} $*" >>{tmp_path}/calls\n{answer}')
    for module in ("nvidia", "nvidia_uvm"):
        host.write(f"sys/module/{module}/refcnt")
    script = change.commands[0].replace("/sys/module", f"{host.root}/sys/module")

    run_script(host, script)

    assert (tmp_path / "calls").read_text().splitlines() == [
        "systemctl is-active -q nvidia-persistenced",
        "systemctl stop nvidia-persistenced",
        "systemctl is-active -q nvidia-fabricmanager",
        "systemctl stop nvidia-fabricmanager",
        "systemctl is-active -q nvidia-dcgm",
        "systemctl stop nvidia-dcgm",
        "systemctl is-active -q dcgm-exporter",
        "systemctl stop dcgm-exporter",
        "docker stop 0123456789ab",
        "rmmod nvidia_uvm",
        "rmmod nvidia",
        "modprobe nvidia",
        "modprobe nvidia-uvm",
        f"cat {host.root}/sys/module/nvidia/version",
        "systemctl start nvidia-persistenced",
        "systemctl start nvidia-fabricmanager",
        "systemctl start nvidia-dcgm",
        "systemctl start dcgm-exporter",
        "systemctl is-enabled -q stackctl-gpu-tuning",
        "systemctl restart stackctl-gpu-tuning",
        "systemctl is-enabled -q stackctl-cdi",
        "systemctl restart stackctl-cdi",
        "docker start 0123456789ab",
    ]


def test_a_module_that_cannot_be_unloaded_leaves_the_daemons_running_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.loaded("535.309.01")
    [change] = planned(host, monkeypatch, ALL).changes
    for name, answer in (("systemctl", ""), ("modprobe", ""), ("rmmod", "exit 1")):
        program(host.bin, name, f'echo "{name} $*" >>{tmp_path}/calls\n{answer}')

    done = run_script(host, change.commands[0].replace("/sys/module", f"{host.root}/sys/module"))

    assert done.returncode == 70
    assert done.stderr == (
        "the module nvidia cannot be unloaded: something still uses a GPU; end it, or reboot the host and apply again\n"
    )
    assert "systemctl start nvidia-persistenced" in (tmp_path / "calls").read_text()
    assert "modprobe" not in (tmp_path / "calls").read_text()


def test_another_flavour_of_the_same_version_is_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.loaded("550.163.01", "proprietary")

    assert reasons(planned(host, monkeypatch, ALL)) == ["replace the driver 550.163.01 by 550.163.01"]


def test_an_upgrade_is_planned_with_what_has_to_stop_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path, "535.309.01-1")
    host.holder(4711, "VLLM::EngineCor", container="0123456789abcdef")

    assert reasons(planned(host, monkeypatch, ALL))[-1] == (
        "replace the driver 535.309.01 by one of branch 550, and container 0123456789ab stops meanwhile"
    )


def test_on_a_fresh_host_all_that_follows_the_packages_is_planned_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path)
    host.device(PCI, driver=None)
    host.kernel(KERNEL, running=True)
    host.packages({})

    plan = planned(host, monkeypatch, ALL)

    assert [(change.operation, change.reason, change.after) for change in plan.changes] == [
        ("headers", "install linux-headers-amd64", ()),
        ("install", "install nvidia-open-kernel-dkms, nvidia-smi, libcuda1 and 2 more", ()),
        ("hold", "hold libcuda1, libnvidia-ml1, nvidia-open-kernel-dkms and 2 more", ("install",)),
        ("load", "load the driver", ("install", "hold")),
        ("persist", "keep the driver loaded", ("load",)),
    ]
