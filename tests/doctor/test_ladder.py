"""Each rung of the doctor's ladder: sound, broken in each way it knows, and skipped where its ground is missing."""

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.doctor.rung import Trial
from tests.doctor.soundhost import (
    OTHER,
    climbed,
    logs_xid,
    sound,
    split_anew,
    with_other_manager,
    with_second_card,
)
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import KERNEL, PCI, SPEC, UUID, with_card


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
    logs_xid(31)(host)

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
    with_other_manager(host)
    assert SPEC.names is not None
    spec = replace(SPEC, names=replace(SPEC.names, fabric=("nvidia-fabricmanager",)))

    found = climbed(host, spec)["fabric"]

    assert found.findings[0].what == (
        "nvidia-fabricmanager is 590.48.01, and driver 550.163.01 runs: they have to be the same"
    )


def test_an_instance_that_is_newer_than_the_specification_is_told(tmp_path: Path) -> None:
    host = sound(tmp_path)
    split_anew(host)

    found = climbed(host, with_card(mig=("3g.40gb",)))["CDI"]

    assert found.told == "GPU `a`, MIG-1, is in no specification"


def test_an_instance_that_placements_have_no_name_for_is_told_to_be_copied(tmp_path: Path) -> None:
    host = sound(tmp_path)
    split_anew(host)

    found = climbed(host, with_card(mig=("3g.40gb",)))["GPUs and UUIDs"]

    assert [(item.severity, item.what, item.hint) for item in found.findings] == [
        (
            "warning",
            "GPU `a` has instances without a name, on which no model can be placed",
            "write `instances: {NAME: MIG-1}` with it",
        )
    ]


def test_an_instance_that_is_gone_is_told_with_those_that_came(tmp_path: Path) -> None:
    host = sound(tmp_path)
    split_anew(host)

    found = climbed(host, with_card(mig=("3g.40gb",), instances=(("half", "MIG-0"),)))["GPUs and UUIDs"]

    assert [(item.what, item.hint) for item in found.findings] == [
        ("instance `half` of GPU `a`, MIG-0, is not there", "it has MIG-1 instead")
    ]


def test_an_instance_that_is_there_by_its_name_is_nothing_to_tell(tmp_path: Path) -> None:
    host = sound(tmp_path)
    split_anew(host)

    found = climbed(host, with_card(mig=("3g.40gb",), instances=(("half", "MIG-1"),)))["GPUs and UUIDs"]

    assert found.findings == ()


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
    with_second_card(host)
    [card] = SPEC.cards
    unknown = replace(card, uuid=None, pci=None)

    found = climbed(host, replace(SPEC, cards=(unknown, replace(unknown, name="b"))), {})["GPUs and UUIDs"]

    assert [f"{UUID}, " in (finding.hint or "") for finding in found.findings] == [True, True]
    assert [f"{OTHER}, " in (finding.hint or "") for finding in found.findings] == [True, True]


def test_cards_for_virtual_machines_alone_leave_containers_out(tmp_path: Path) -> None:
    found = climbed(sound(tmp_path), with_card(use="passthrough"), {})

    assert {found[name].told for name in ("CDI", "containers", "CUDA")} == {"no GPU is for containers"}
