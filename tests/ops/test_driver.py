"""The driver on a host: refused, installed, built, loaded, replaced; each trap is one fake host."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.capabilities.gpu import GpuSpec
from stackctl.ops.driver import fitting
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import (
    ALL,
    KERNEL,
    NEXT_KERNEL,
    OWN,
    PCI,
    SPEC,
    complaints,
    planned,
    reasons,
    with_card,
    working,
)


def test_a_host_as_it_should_be_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reasons(planned(working(tmp_path), monkeypatch, ALL)) == []


def test_a_host_without_a_gpu_gets_the_packages_and_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost(tmp_path)
    host.kernel(KERNEL, running=True, headers=False)
    host.packages({})

    assert reasons(planned(host, monkeypatch, ALL, replace(SPEC, cards=()))) == [
        f"install linux-headers-amd64, linux-headers-{KERNEL}",
        "install nvidia-open-kernel-dkms, nvidia-smi, libcuda1 and 2 more",
        "hold libcuda1, libnvidia-ml1, nvidia-open-kernel-dkms and 2 more",
    ]


def _cut_headers(host: FakeHost) -> None:
    host.kernel(NEXT_KERNEL, headers=False)


def _not_built(host: FakeHost) -> None:
    host.kernel(NEXT_KERNEL)
    host.says(
        "dkms",
        f"nvidia-current-open/550.163.01, {KERNEL}, x86_64: installed\nnvidia-current-open/550.163.01: added",
    )


def _older_loaded(host: FakeHost) -> None:
    host.loaded("535.309.01")


def _in_container(host: FakeHost) -> None:
    host.loaded("535.309.01")
    host.holder(4711, "VLLM::EngineCor", container="0123456789abcdef")


def _in_machine(host: FakeHost) -> None:
    host.loaded("535.309.01")
    host.holder(4712, "qemu-system-x86")


def _by_daemon(host: FakeHost) -> None:
    host.loaded("535.309.01")
    host.holder(4713, "nvidia-persiste")


def _nouveau(host: FakeHost) -> None:
    (host.root / "sys/module/nvidia/version").unlink()
    host.write("sys/module/nouveau/refcnt", "3\n")
    host.device(PCI, driver="nouveau")


def _not_loaded(host: FakeHost) -> None:
    (host.root / "sys/module/nvidia/version").unlink()


def _early_nouveau(host: FakeHost) -> None:
    host.kernel(NEXT_KERNEL, nouveau=True)
    host.says(
        "dkms",
        "\n".join(
            f"nvidia-current-open/550.163.01, {each}, x86_64: installed" for each in (KERNEL, NEXT_KERNEL)
        ),
    )


def _let_go(host: FakeHost) -> None:
    host.packages(dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2"))


def _half_moved(host: FakeHost) -> None:
    versions = dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2")
    host.packages({**versions, "nvidia-smi": "580.95.05-1"}, held=OWN.driver)


def _other_flavour(host: FakeHost) -> None:
    versions = dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2")
    host.packages({**versions, "nvidia-kernel-dkms": "550.163.01-2"}, held=OWN.driver)


def _mixed(host: FakeHost) -> None:
    versions = dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2")
    host.packages({**versions, "libcuda1": "550.144.03-1"}, held=OWN.driver)


def _part_lost(host: FakeHost) -> None:
    versions = dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2")
    del versions["nvidia-smi"]
    host.packages(versions, held=OWN.driver)


def _other_daemon(host: FakeHost) -> None:
    versions = dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2")
    host.packages({**versions, "nvidia-persistenced": "550.54.14-1"}, held=OWN.driver)


def _idle_daemon(host: FakeHost) -> None:
    host.units({"nvidia-persistenced.service": "failed"})


@pytest.mark.parametrize(
    ("trap", "told"),
    [
        (_cut_headers, [f"install linux-headers-{NEXT_KERNEL}"]),
        (_not_built, [f"build the modules for {NEXT_KERNEL}"]),
        (_older_loaded, ["replace the driver 535.309.01 by 550.163.01"]),
        (_by_daemon, ["replace the driver 535.309.01 by 550.163.01"]),
        (
            _in_container,
            ["replace the driver 535.309.01 by 550.163.01, and container 0123456789ab stops meanwhile"],
        ),
        (
            _in_machine,
            [
                (
                    "reboot, driver 535.309.01 cannot be replaced by 550.163.01 while"
                    " qemu-system-x86 (process 4712) uses it"
                )
            ],
        ),
        (_nouveau, ["reboot, nouveau drives the GPUs, and lets go of them at a boot only"]),
        (_not_loaded, ["load the driver 550.163.01"]),
        (_early_nouveau, [f"keep nouveau out of the initramfs of {NEXT_KERNEL}"]),
        (
            _let_go,
            ["hold libcuda1, libnvidia-ml1, nvidia-open-kernel-dkms and 2 more"],
        ),
        (_half_moved, ["nvidia-smi 580.95.05-1 becomes 550"]),
        (_other_flavour, ["remove nvidia-kernel-dkms"]),
        (_mixed, ["libcuda1 550.144.03-1 becomes 550.163.01"]),
        (_part_lost, ["install nvidia-smi", "hold nvidia-smi"]),
        (_other_daemon, []),
        (_idle_daemon, ["keep the driver loaded"]),
    ],
)
def test_what_is_not_as_it_should_be_is_mended_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Callable[[FakeHost], None], told: list[str]
) -> None:
    host = working(tmp_path)
    trap(host)

    assert reasons(planned(host, monkeypatch, ALL)) == told


def test_a_card_for_a_virtual_machine_keeps_its_other_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.device("0000:42:00.0", driver="vfio-pci")

    assert reasons(planned(host, monkeypatch, ALL)) == []


def _moved(host: FakeHost) -> None:
    host.device(PCI, "1b06")


def _gone(host: FakeHost) -> None:
    for name in ("vendor", "device", "class", "driver"):
        (host.root / f"sys/bus/pci/devices/{PCI}/{name}").unlink()
    host.device("0000:61:00.0")


def _secure(host: FakeHost) -> None:
    host.secure_boot(enrolled=False)


def _realtime(host: FakeHost) -> None:
    host.kernel("6.12.57+deb13-rt-amd64", running=True)


@pytest.mark.parametrize(
    ("trap", "told"),
    [
        (
            _moved,
            (
                f"GPU a: {PCI} is 10de:1b06, not 10de:2684"
                f" | the host's GPUs are {PCI} (10de:1b06); correct `pci` or `id`"
            ),
        ),
        (
            _gone,
            (
                f"GPU a: there is no device of NVIDIA's at {PCI} | the host's GPUs are 0000:61:00.0 (10de:2684);"
                " correct `pci`, or look at the card's seat and the firmware"
            ),
        ),
        (
            _secure,
            (
                "Secure Boot: Secure Boot is on, and would refuse the modules that are built on this host | make the"
                " key that DKMS signs with, `mkdir -p /var/lib/dkms && openssl req -new -x509 -nodes -days 36500"
                ' -subj "/CN=DKMS module signing key" -newkey rsa:2048 -keyout /var/lib/dkms/mok.key -outform DER'
                " -out /var/lib/dkms/mok.pub`, where there is none, run `mokutil --import /var/lib/dkms/mok.pub`,"
                " reboot, choose `Enroll MOK` on the console, then apply again; or turn Secure Boot off in the firmware"
            ),
        ),
        (
            _realtime,
            (
                "kernel: 6.12.57+deb13-rt-amd64 is a real-time kernel, for which the driver's modules are not built"
                " | install `linux-image-amd64`, boot it, then apply again"
            ),
        ),
    ],
)
def test_a_host_that_cannot_work_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Callable[[FakeHost], None], told: str
) -> None:
    host = working(tmp_path)
    trap(host)

    assert complaints(planned(host, monkeypatch, "driver.fits(name='check', spec=spec)")) == [told]


def test_an_enrolled_key_is_enough_for_secure_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = working(tmp_path)
    host.secure_boot(enrolled=True)

    assert reasons(planned(host, monkeypatch, ALL)) == []


def test_signed_modules_need_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SPEC.names is not None
    signed: GpuSpec = replace(SPEC, names=replace(SPEC.names, headers=()))
    host = working(tmp_path)
    host.secure_boot(enrolled=False)

    assert complaints(planned(host, monkeypatch, "driver.fits(name='check', spec=spec)", signed)) == []


def test_a_driver_that_somebody_else_installs_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    _not_loaded(host)
    spec = replace(with_card(), source="existing", names=None, pin=None)

    assert complaints(planned(host, monkeypatch, ALL, spec)) == [
        (
            "driver: no driver is loaded for the GPUs a | write `driver: {source: nvidia, branch: 580}` to have it"
            " installed, or install it yourself"
        )
    ]


@pytest.mark.parametrize(
    ("pin", "version", "fits"),
    [
        ("580", "580.95.05-1", True),
        ("580", "590.48.01-1", False),
        ("580.95.05", "580.95.05-0ubuntu1", True),
        ("580.95", "580.95.05-1", True),
        ("580.9", "580.95.05-1", False),
        (None, "1:535.309.01-1", True),
        ("535", "1:535.309.01-1~deb12u1", True),
    ],
)
def test_a_pin_ends_where_a_number_does(pin: str | None, version: str, *, fits: bool) -> None:
    assert fitting(pin, version) is fits
