"""Modules swapped under running containers, and what is planned before they are there."""

from pathlib import Path

import pytest

from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import (
    ALL,
    KERNEL,
    NEXT_KERNEL,
    OWN,
    PCI,
    complaints,
    planned,
    reasons,
    run_script,
    working,
)
from tests.ops.programs import program


def swapping(host: FakeHost, monkeypatch: pytest.MonkeyPatch, **answers: str) -> str:
    """The script of a swap of 535.309.01 for 550.163.01 below a container, on a host whose programs note their calls."""
    host.loaded("535.309.01")
    host.holder(4711, "VLLM::EngineCor", container="0123456789abcdef")
    [change] = planned(host, monkeypatch, ALL).changes
    (host.root / "proc/4711/fd/7").unlink()  # it stops
    for name in ("systemctl", "docker", "rmmod", "modprobe", "cat"):
        answer = answers.get(name, "echo 550.163.01" if name == "cat" else "")
        program(host.bin, name, f'echo "{name} $*" >>{host.path}/calls\n{answer}')
    for module in ("nvidia", "nvidia_uvm"):
        host.write(f"sys/module/{module}/refcnt")
    script = change.commands[0].replace("/sys/module", f"{host.root}/sys/module")
    return script.replace("/proc/", f"{host.root}/proc/")


def calls(host: FakeHost) -> list[str]:
    """What the script called, in order."""
    return (host.path / "calls").read_text().splitlines()


def test_what_uses_the_gpus_stops_before_the_swap_and_starts_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)

    done = run_script(host, swapping(host, monkeypatch))

    assert (done.returncode, done.stderr) == (0, "")
    assert calls(host) == [
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


def test_a_module_that_cannot_be_unloaded_leaves_all_running_as_before_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)

    done = run_script(host, swapping(host, monkeypatch, rmmod='[ "$1" != nvidia ]'))

    assert done.returncode == 70
    assert done.stderr == (
        "the module nvidia cannot be unloaded: something still uses a GPU; end it, or reboot the host and apply again\n"
    )
    assert calls(host)[-6:] == [
        "modprobe -q nvidia-uvm",
        "systemctl start nvidia-persistenced",
        "systemctl start nvidia-fabricmanager",
        "systemctl start nvidia-dcgm",
        "systemctl start dcgm-exporter",
        "docker start 0123456789ab",
    ]


def test_who_still_uses_a_gpu_is_named_before_a_module_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    script = swapping(host, monkeypatch)
    host.holder(4712, "nvtop")
    host.holder(4713, "python3", "/dev/nvidia-uvm")

    done = run_script(host, script)

    assert (done.returncode, done.stderr) == (
        70,
        (
            "the driver cannot be replaced while nvtop (process 4712), python3 (process 4713) uses a GPU;"
            " end it, or reboot the host and apply again\n"
        ),
    )
    assert not any(call.startswith("rmmod") for call in calls(host))
    assert calls(host)[-1] == "docker start 0123456789ab"


def test_a_module_without_hardware_is_good_and_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    (host.root / "sys/module/nvidia/version").unlink()
    [change] = planned(host, monkeypatch, ALL).changes
    program(
        host.bin, "modprobe", "echo \"modprobe: ERROR: could not insert '$1': No such device\" >&2; exit 1"
    )

    done = run_script(host, change.commands[0])

    assert (done.returncode, done.stderr) == (
        70,
        (
            "the driver's module is good, and finds no GPU that it can drive: look at the cards' power and seats,"
            " and at `lspci -d 10de:`\n"
        ),
    )


def test_libraries_of_another_installation_are_told_instead_of_swapping_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.library("570.124.06")

    assert complaints(planned(host, monkeypatch, "modules.loaded(name='load', spec=spec)")) == [
        (
            "driver: the libraries are of driver 570.124.06, and the module on disk and in the kernel is 550.163.01"
            " | see `ldconfig -p | grep libnvidia-ml` and `dpkg -l '*nvidia*'`: one of them is of another installation"
        )
    ]


def test_modules_for_another_kernel_alone_count_from_the_next_boot_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path)
    host.device(PCI, driver=None)
    host.kernel(KERNEL, running=True)
    host.kernel(NEXT_KERNEL)
    host.module(NEXT_KERNEL, "550.163.01")

    assert reasons(planned(host, monkeypatch, "modules.loaded(name='load', spec=spec)")) == [
        f"reboot, the driver's modules are there for {NEXT_KERNEL}, and not for {KERNEL}, which runs"
    ]


BUILD = "modules.built(name='build', spec=spec)"


def test_a_build_of_another_version_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = working(tmp_path)
    old = f"nvidia-current-open/550.144.03, {KERNEL}, x86_64: installed"
    host.says("dkms", f"{old}\nnvidia-current-open/550.163.01: added")

    assert reasons(planned(host, monkeypatch, BUILD)) == [f"build the modules for {KERNEL}"]


def test_nothing_is_built_for_a_real_time_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = working(tmp_path)
    host.kernel("6.12.57+deb13-rt-amd64")

    assert reasons(planned(host, monkeypatch, BUILD)) == []


def test_packages_build_for_the_running_kernel_and_we_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path)
    host.kernel(KERNEL, running=True)
    host.kernel(NEXT_KERNEL)
    host.packages(dict.fromkeys(OWN.headers, "6.12.60-1"))
    call = (
        "packages = driver.installed(name='install', spec=spec)\n"
        "modules.built(name='build', spec=spec, after=[packages])"
    )

    assert reasons(planned(host, monkeypatch, call))[1:] == [f"build the modules for {NEXT_KERNEL} too"]


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (f"nvidia-current-open/550.163.01, {NEXT_KERNEL}, x86_64: installed", 0, ""),
        (
            f"nvidia-current-open/550.144.03, {NEXT_KERNEL}, x86_64: installed",
            70,
            f"the driver's modules cannot be built for {NEXT_KERNEL}\n",
        ),
    ],
)
def test_what_dkms_says_of_a_build_is_not_believed_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, code: int, told: str
) -> None:
    host = working(tmp_path)
    host.kernel(NEXT_KERNEL)
    [change] = planned(host, monkeypatch, BUILD).changes
    program(host.bin, "dkms", f"[ $1 = autoinstall ] && exit 11\necho '{status}'")

    done = run_script(host, change.commands[0])

    assert (done.returncode, done.stderr) == (code, told)


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
