"""Each rung of the doctor's ladder: sound, broken in each way it knows, and skipped where its ground is missing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.capabilities.gpu import GpuSpec
from stackctl.doctor.ladder import ladder
from stackctl.doctor.rung import Case, Rung, Trial
from tests.nvidia.fakes import FakeHost, observe
from tests.ops.gpuhost import KERNEL, NEXT_KERNEL, PCI, SPEC, UUID, with_card, working

OTHER = "GPU-00000000-0000-4000-8000-000000000002"
SPECIFICATION = f"""cdiVersion: 0.7.0
kind: nvidia.com/gpu
devices:
- name: {UUID}
  containerEdits:
    mounts:
    - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01
      containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01
"""
SOUND = {UUID: Trial((UUID,), None, True, "passed NVIDIA Test 1")}


def sound(folder: Path) -> FakeHost:
    """A host on which every rung holds."""
    host = working(folder)
    host.write("usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01")
    host.cdi("var/run/cdi/nvidia.yaml", SPECIFICATION)
    host.says("docker", '["/etc/cdi","/var/run/cdi"]')
    return host


def climbed(host: FakeHost, spec: GpuSpec = SPEC, trials: dict[str, Trial] | None = None) -> dict[str, Rung]:
    case = Case("gpu1", spec, observe(host), SOUND if trials is None else trials, "lab/chat:1")
    return {rung.name: rung for rung in ladder(case)}


def test_a_sound_host_holds_on_every_rung(tmp_path: Path) -> None:
    assert {name: f"{rung.state}: {rung.told}" for name, rung in climbed(sound(tmp_path)).items()} == {
        "PCI devices": f"passed: {PCI} 10de:2684",
        "bound drivers": f"passed: {PCI} nvidia",
        "kernel modules": f"passed: 550.163.01 for {KERNEL}",
        "versions": "passed: 550.163.01, open modules",
        "GPUs and UUIDs": f"passed: NVIDIA Test 1 {UUID}",
        "settings": "passed: as declared",
        "fabric": "skipped: there are no NVSwitches",
        "CDI": "passed: /var/run/cdi/nvidia.yaml",
        "containers": "passed: 1 of 1 see their own GPU alone",
        "CUDA": "passed: the sums are right",
        "kernel's log": "passed: no errors since the boot",
    }


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


def _second_card(host: FakeHost) -> None:
    host.device("0000:42:00.0")
    host.smi_gpu(OTHER, "0000:42:00.0", persistence_mode="Enabled")


def _no_persistence(host: FakeHost) -> None:
    host.cards.clear()
    host.smi_gpu(UUID, PCI, persistence_mode="Disabled")


def _switches(host: FakeHost) -> None:
    host.write("proc/driver/nvidia-nvswitch/devices/0000:05:00.0")
    host.units({"nvidia-fabricmanager.service": "failed"})


def _other_manager(host: FakeHost) -> None:
    host.write("proc/driver/nvidia-nvswitch/devices/0000:05:00.0")
    host.units({"nvidia-fabricmanager.service": "active"})
    host.packages({"nvidia-fabricmanager": "590.48.01-1"})


def _split_anew(host: FakeHost) -> None:
    host.cards.clear()
    host.smi()
    host.smi_gpu(UUID, PCI, mig=(("3g.40gb", "MIG-1"),), mig_mode_current="Enabled")


def _stale_copy(host: FakeHost) -> None:
    text = SPECIFICATION.replace("550.163.01", "535.309.01")
    host.cdi("etc/cdi/nvidia.yaml", text)


def _no_specification(host: FakeHost) -> None:
    (host.root / "var/run/cdi/nvidia.yaml").unlink()


def _without_card(host: FakeHost) -> None:
    host.cdi("var/run/cdi/nvidia.yaml", SPECIFICATION.replace(UUID, OTHER))


def _docker_without(host: FakeHost) -> None:
    host.says("docker", "[]")


def _xid(number: int) -> Callable[[FakeHost], None]:
    line = f"2026-11-24T06:00:00+0000 gpu1 kernel: NVRM: Xid (PCI:{PCI}): {number}, pid=1, name=x"
    return lambda host: host.says("journalctl", line)


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
            _second_card,
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
            _xid(79),
            "kernel's log",
            f"Xid 79 on {PCI}, once: the card has fallen off the bus",
            "start the host cold",
        ),
        (_xid(119), "kernel's log", f"Xid 119 on {PCI}, once: the card's own processor", "--gpu-reset"),
        (
            _xid(63),
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


@pytest.mark.parametrize(
    ("trial", "rung", "state", "told"),
    [
        (
            Trial(failed="unresolvable CDI devices"),
            "containers",
            "failed",
            f"no container starts with {UUID}: unresolvable CDI devices",
        ),
        (
            Trial((UUID, OTHER), None, True),
            "containers",
            "failed",
            f"a container with {UUID} sees {UUID}, {OTHER}",
        ),
        (Trial((), None, True), "containers", "failed", f"a container with {UUID} sees nothing"),
        (
            Trial((UUID,), None, False, "cuInit failed with CUDA error 802"),
            "CUDA",
            "failed",
            f"a program on {UUID} fails: cuInit failed with CUDA error 802",
        ),
        (Trial((UUID,), None, None, "the image has no Python"), "CUDA", "skipped", "the image has no Python"),
        (Trial(failed="no"), "CUDA", "skipped", "no container has a GPU"),
    ],
)
def test_what_came_of_a_container_is_judged(
    tmp_path: Path, trial: Trial, rung: str, state: str, told: str
) -> None:
    found = climbed(sound(tmp_path), trials={UUID: trial})[rung]

    assert (found.state, found.told) == (state, told)


def test_a_programs_own_faults_are_no_fault_of_the_card(tmp_path: Path) -> None:
    host = sound(tmp_path)
    _xid(31)(host)

    found = climbed(host)["kernel's log"]

    assert (found.state, found.told) == ("passed", "no fault of a card, once one of a program")


def test_a_driver_without_hardware_is_built_and_refuses_to_load(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.kernel(KERNEL, running=True)
    host.module(KERNEL, "550.163.01", "updates/dkms/nvidia-current-open.ko", "DKMS module signing key")
    host.says("dkms", f"nvidia-current-open/550.163.01, {KERNEL}, x86_64: installed")

    found = climbed(host, replace(SPEC, cards=()), {})

    assert {name: rung.state for name, rung in found.items() if rung.state != "skipped"} == {
        "kernel modules": "passed",
        "kernel's log": "passed",
    }
    assert found["PCI devices"].told == "the host has no GPU of NVIDIA's, and none is declared"
    assert found["kernel modules"].told == f"550.163.01 for {KERNEL}, signed by DKMS module signing key"
    assert found["versions"].told == (
        "the module 550.163.01 is built, and refuses to load for want of hardware: the host has no GPU of NVIDIA's"
    )


def test_a_host_without_a_gpu_needs_no_driver_loaded(tmp_path: Path) -> None:
    found = climbed(FakeHost(tmp_path), replace(SPEC, cards=()), {})

    assert [name for name, rung in found.items() if rung.state == "failed"] == []
    assert found["versions"].told == "the host has no GPU of NVIDIA's to load a driver for"


def test_a_card_for_a_virtual_machine_has_a_vfio_driver(tmp_path: Path) -> None:
    host = sound(tmp_path)
    host.device("0000:42:00.0", driver="nvidia")
    [card] = SPEC.cards
    spec = replace(
        SPEC, cards=(card, replace(card, name="b", uuid=None, pci="0000:42:00.0", use="passthrough"))
    )

    found = climbed(host, spec)["bound drivers"]
    assert found.told == "0000:42:00.0 is driven by nvidia, not by vfio"

    host.device("0000:42:00.0", driver="vfio-pci")
    assert climbed(host, spec)["bound drivers"].state == "passed"


def test_a_setting_that_is_not_as_declared_is_named(tmp_path: Path) -> None:
    found = climbed(sound(tmp_path), with_card(power_limit=300))["settings"]

    assert found.told == "GPU `a`: power limit 450 becomes 300 W"


def test_what_rests_on_a_broken_rung_is_skipped(tmp_path: Path) -> None:
    host = sound(tmp_path)
    host.smi(9)

    found = climbed(host, trials={})

    assert [name for name, rung in found.items() if rung.state == "skipped"] == [
        "settings",
        "fabric",
        "containers",
        "CUDA",
    ]


def test_the_switches_manager_has_the_drivers_version(tmp_path: Path) -> None:
    host = sound(tmp_path)
    _other_manager(host)
    assert SPEC.names is not None
    spec = replace(SPEC, names=replace(SPEC.names, fabric=("nvidia-fabricmanager",)))

    found = climbed(host, spec)["fabric"]

    assert found.findings[0].what == (
        "nvidia-fabricmanager is 590.48.01, and driver 550.163.01 runs: they have to be the same"
    )


def test_an_instance_that_is_newer_than_the_specification_is_told(tmp_path: Path) -> None:
    host = sound(tmp_path)
    _split_anew(host)

    found = climbed(host, with_card(mig=("3g.40gb",)))["CDI"]

    assert found.told == "GPU `a`, MIG-1, is in no specification"


@pytest.mark.parametrize("missing", [("uuid",), ("uuid", "pci"), ("pci", "id")])
def test_what_the_inventory_does_not_say_of_a_card_is_told_to_be_copied(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    found = climbed(sound(tmp_path), with_card(**dict.fromkeys(missing)))["GPUs and UUIDs"]

    line = f"a: {{uuid: {UUID}, pci: '{PCI}', id: '10de:2684'}}"
    assert (found.state, found.told) == ("warning", f"NVIDIA Test 1 {UUID}")
    assert [finding.hint for finding in found.findings] == [
        f"write `{line}` under `gpus`, and keep what else it has"
    ]


def test_cards_that_cannot_be_told_apart_are_left_to_a_person(tmp_path: Path) -> None:
    host = sound(tmp_path)
    _second_card(host)
    [card] = SPEC.cards
    unknown = replace(card, uuid=None, pci=None)

    found = climbed(host, replace(SPEC, cards=(unknown, replace(unknown, name="b"))), {})["GPUs and UUIDs"]

    assert [f"{UUID}, " in (finding.hint or "") for finding in found.findings] == [True, True]
    assert [f"{OTHER}, " in (finding.hint or "") for finding in found.findings] == [True, True]


def test_cards_for_virtual_machines_alone_leave_containers_out(tmp_path: Path) -> None:
    found = climbed(sound(tmp_path), with_card(use="passthrough"), {})

    assert {found[name].told for name in ("CDI", "containers", "CUDA")} == {"no GPU is for containers"}
