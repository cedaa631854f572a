"""Each rung of the ladder broken in every way it knows: what is wrong is named, with the way out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doctor.soundhost import (
    OTHER,
    SPECIFICATION,
    climbed,
    logs_xid,
    sound,
    with_second_card,
)
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import KERNEL, NEXT_KERNEL, PCI, UUID


def _gone(host: FakeHost) -> None:
    (host.root / f"sys/bus/pci/devices/{PCI}/vendor").unlink()


def _moved(host: FakeHost) -> None:
    _gone(host)
    host.device("0000:61:00.0")


def _replaced(host: FakeHost) -> None:
    host.device(PCI, "2330", "0302")


def _nouveau(host: FakeHost) -> None:
    host.device(PCI, driver="nouveau")
    host.write("sys/module/nouveau/refcnt", "1\n")


def _early_nouveau(host: FakeHost) -> None:
    host.kernel(KERNEL, running=True, nouveau=True)


def _kept_for_a_machine(host: FakeHost) -> None:
    host.device(PCI, driver="vfio-pci")


def _next_kernel(host: FakeHost) -> None:
    host.kernel(NEXT_KERNEL, headers=False)


def _only_built(host: FakeHost) -> None:
    host.says("dkms", f"nvidia-current-open/550.163.01, {KERNEL}, x86_64: built")


def _moved_library(host: FakeHost) -> None:
    host.library("550.163.02")


def _newer_package(host: FakeHost) -> None:
    host.packages(dict.fromkeys(("nvidia-smi",), "580.95.05-1"))


def _other_branch(host: FakeHost) -> None:
    for version in ("535.309.01",):
        host.loaded(version)
        host.library(version)
        host.module(KERNEL, version, "updates/dkms/nvidia-current-open.ko")
        host.packages({})


def _unloaded(host: FakeHost) -> None:
    (host.root / "sys/module/nvidia/version").unlink()


def _status(status: int) -> Callable[[FakeHost], None]:
    return lambda host: host.smi(status)


def _hangs(host: FakeHost) -> None:
    host.hang()


def _no_persistence(host: FakeHost) -> None:
    host.cards.clear()
    host.smi_gpu(UUID, PCI, persistence_mode="Disabled")


def _switches(host: FakeHost) -> None:
    host.write("proc/driver/nvidia-nvswitch/devices/0000:05:00.0")
    host.units({"nvidia-fabricmanager.service": "failed"})


def _stale_copy(host: FakeHost) -> None:
    text = SPECIFICATION.replace("550.163.01", "535.309.01")
    host.cdi("etc/cdi/nvidia.yaml", text)


def _no_specification(host: FakeHost) -> None:
    (host.root / "var/run/cdi/nvidia.yaml").unlink()


def _without_card(host: FakeHost) -> None:
    host.cdi("var/run/cdi/nvidia.yaml", SPECIFICATION.replace(UUID, OTHER))


def _docker_without(host: FakeHost) -> None:
    host.says("docker", "[]")


@pytest.mark.parametrize(
    ("breaks", "rung", "what", "hint"),
    [
        (_gone, "PCI devices", f"GPU `a` is not at {PCI}", "look at the card's seat and power"),
        (_moved, "PCI devices", f"GPU `a` is not at {PCI}", "write `pci: '0000:61:00.0'`"),
        (
            _replaced,
            "PCI devices",
            f"GPU `a` at {PCI} is 10de:2330, not 10de:2684",
            "write `id: '10de:2330'`",
        ),
        (_nouveau, "bound drivers", f"{PCI} is driven by nouveau, not by nvidia", "--allow-reboot"),
        (
            _early_nouveau,
            "bound drivers",
            f"the initramfs of {KERNEL} loads nouveau before NVIDIA's driver has a chance",
            "which keeps it out",
        ),
        (
            _kept_for_a_machine,
            "bound drivers",
            f"{PCI} is driven by vfio-pci, not by nvidia",
            "write `use: passthrough` if it is for a virtual machine",
        ),
        (
            _next_kernel,
            "kernel modules",
            f"a kernel that can boot, {NEXT_KERNEL}, has no driver module",
            f"install linux-headers-{NEXT_KERNEL}",
        ),
        (
            _only_built,
            "kernel modules",
            f"DKMS has the module for {KERNEL} built, not installed",
            "dkms autoinstall",
        ),
        (
            _moved_library,
            "versions",
            "the kernel runs driver 550.163.01, and the library is 550.163.02",
            "replaces the module or asks for a reboot",
        ),
        (
            _newer_package,
            "versions",
            "the kernel runs driver 550.163.01, and the package nvidia-smi is 580.95.05",
            "stackctl apply",
        ),
        (
            _other_branch,
            "versions",
            "the kernel runs driver 535.309.01, and 550 is declared",
            "stackctl apply",
        ),
        (_unloaded, "versions", "no driver is loaded", "journalctl -k -b -g NVRM"),
        (_status(9), "GPUs and UUIDs", "status 9: it cannot talk to the driver", "journalctl"),
        (_status(12), "GPUs and UUIDs", "status 12: the library libnvidia-ml is missing", "journalctl"),
        (_status(15), "GPUs and UUIDs", "status 15: a GPU has fallen off the bus", "cold start"),
        (
            _status(18),
            "GPUs and UUIDs",
            "status 18: driver and library are of different versions",
            "journalctl",
        ),
        (_hangs, "GPUs and UUIDs", "status 124: it does not answer", "journalctl"),
        (
            with_second_card,
            "GPUs and UUIDs",
            "1 GPUs are declared for containers, and the driver has 2",
            f"{{uuid: {OTHER}, pci: '0000:42:00.0', id: '10de:2684'}}",
        ),
        (_no_persistence, "settings", "GPU `a`: persistence is off", "nvidia-persistenced"),
        (_switches, "fabric", "nvidia-fabricmanager.service is failed", "journalctl -u"),
        (
            _stale_copy,
            "CDI",
            "/etc/cdi/nvidia.yaml is of driver 535.309.01, and 550.163.01 runs",
            "removes old copies",
        ),
        (_no_specification, "CDI", "there is no specification of the GPUs", "stackctl apply"),
        (_without_card, "CDI", f"GPU `a`, {UUID}, is in no specification", "stackctl apply"),
        (_docker_without, "CDI", "Docker does not use specifications", "features.cdi"),
        (
            logs_xid(79),
            "kernel's log",
            f"Xid 79 on {PCI}, once: the card has fallen off the bus",
            "start the host cold",
        ),
        (logs_xid(119), "kernel's log", f"Xid 119 on {PCI}, once: the card's own processor", "--gpu-reset"),
        (
            logs_xid(63),
            "kernel's log",
            f"Xid 63 on {PCI}, once: a memory row is to be remapped",
            "reboot the host",
        ),
    ],
)
def test_a_rung_that_breaks_says_what_is_wrong_and_the_way_out(
    tmp_path: Path, breaks: Callable[[FakeHost], None], rung: str, what: str, hint: str
) -> None:
    host = sound(tmp_path)
    breaks(host)

    found = climbed(host)[rung]

    assert found.state == "failed"
    assert what in "; ".join(finding.what for finding in found.findings)
    assert hint in "; ".join(finding.hint or "" for finding in found.findings)
    assert all(finding.where == f"gpu1 · {rung}" for finding in found.findings)
