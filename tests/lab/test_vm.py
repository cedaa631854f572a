"""Virtual machines as far as they are words and bytes; `tests/vm` boots them."""

import struct
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab import checks, disk, kind, login, vm
from stackctl.lab import spec as specs
from stackctl.lab.mirror import Mirror
from stackctl.lab.network import interfaces, scripts, settings, wiring
from stackctl.lab.spec import LabSpec

SPEC = LabSpec.of("lab", {"gpu": "10.89.0.11"}, kind="vm")
HOST = SPEC.host("gpu")
ROOT = UUID("9e78857d-8bdf-4498-b358-b611dfb31b41")


def test_a_machine_has_the_interfaces_that_a_container_would_have() -> None:
    eth0, wan1, _ = (vm.networkd(end) for end in interfaces(SPEC, HOST))

    assert eth0["10-eth0.link"] == "[Match]\nMACAddress=52:54:00:59:00:0b\n\n[Link]\nName=eth0\n"
    assert eth0["10-eth0.network"] == (
        "[Match]\nMACAddress=52:54:00:59:00:0b\n\n"
        "[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nAddress=10.89.0.11/24\n"
    )
    assert wan1["10-wan1.network"] == (
        "[Match]\nMACAddress=52:54:00:12:01:0b\n\n"
        "[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nAddress=198.18.1.11/24\n\n"
        "[Route]\nGateway=198.18.1.1\nMetric=100\n"
    )


def test_a_machines_cables_end_in_a_bridge_and_a_tap_of_its_namespace() -> None:
    wanted = wiring(SPEC)

    assert sorted(scripts(wanted, {})["stackctl-lab-host-gpu"]) == [
        "link add br-eth0 type bridge",
        "link add br-wan1 type bridge",
        "link add br-wan2 type bridge",
        "link add eth0 type veth peer name host11 netns stackctl-lab-lan",
        "link add wan1 type veth peer name host11 netns stackctl-lab-isp1",
        "link add wan2 type veth peer name host11 netns stackctl-lab-isp2",
        "tuntap add dev vm-eth0 mode tap",
        "tuntap add dev vm-wan1 mode tap",
        "tuntap add dev vm-wan2 mode tap",
    ]
    lines = settings(wanted)["stackctl-lab-host-gpu"]
    assert [line for line in lines if line.startswith("link set") and "eth0" in line] == [
        "link set br-eth0 up",
        "link set eth0 master br-eth0 up",
        "link set eth0 alias 10.89.0.11",
        "link set vm-eth0 master br-eth0 up",
    ]
    assert not any(line.startswith("addr") for line in lines)


def test_a_machine_hangs_on_its_taps_with_the_hardware_addresses_of_its_interfaces() -> None:
    words = [str(word) for word in vm.boot_command(SPEC, HOST, ("-accel", "tcg"))]

    assert words[:3] == ["qemu-system-x86_64", "-name", "stackctl-lab-host-gpu"]
    assert [word for word in words if word.startswith(("tap,", "virtio-net"))] == [
        "tap,id=eth0,ifname=vm-eth0,script=no,downscript=no",
        "virtio-net-pci,netdev=eth0,mac=52:54:00:59:00:0b",
        "tap,id=wan1,ifname=vm-wan1,script=no,downscript=no",
        "virtio-net-pci,netdev=wan1,mac=52:54:00:12:01:0b",
        "tap,id=wan2,ifname=vm-wan2,script=no,downscript=no",
        "virtio-net-pci,netdev=wan2,mac=52:54:00:12:02:0b",
    ]


def test_a_disk_begins_with_grub_and_one_partition_that_boots() -> None:
    head = disk.boot_sectors(b"B" * 512, b"C" * 30_000, sectors=10_000)

    assert len(head) == 2048 * 512
    assert head[:440] == b"B" * 440
    boots, kind_of_partition, first, sectors = struct.unpack("<B3xB3xII", head[446:462])
    assert (boots, kind_of_partition, first, sectors) == (0x80, 0x83, 2048, 7952)
    assert head[462:512] == bytes(48) + b"\x55\xaa"
    assert head[512:30_512] == b"C" * 30_000


def test_a_grub_that_does_not_fit_before_the_partition_is_not_cut_off() -> None:
    with pytest.raises(ValueError, match="1048065 bytes"):
        disk.boot_sectors(b"B" * 512, b"C" * (2047 * 512 + 1), sectors=10_000)


def test_grub_and_the_kernel_find_the_root_by_the_same_name() -> None:
    assert disk.fstab(ROOT) == f"UUID={ROOT} / ext4 errors=remount-ro 0 1\n"
    assert disk.grub_configuration(ROOT).count(str(ROOT)) == 2


@pytest.mark.parametrize("word", ["a  b", "it's", '"$HOME"', "*", "-n", "", "two\nlines"])
def test_a_command_goes_over_ssh_word_for_word(word: str) -> None:
    words = login.entering(SPEC, HOST, terminal=False)
    ssh = words.index("ssh")
    far_end = [*words[:ssh], "ssh", "2", "bash", "-c"]  # sshd, too, gives one string to a shell

    said = subprocess.run(
        [*far_end, "printf", "<%s>", word, "end"], capture_output=True, text=True, check=True
    )

    assert said.stdout == f"<{word}><end>"


def test_a_lab_remembers_its_kind_and_refuses_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specs, "STATE", tmp_path)
    assert kind.remembered("lab") is None

    kind.remember(SPEC)
    kind.remember(SPEC)

    assert kind.remembered("lab") == "vm"
    with pytest.raises(FindingsError) as refused:
        kind.remember(LabSpec.of("lab", {"gpu": "10.89.0.11"}))
    (finding,) = refused.value.findings
    assert finding.what == "its hosts are virtual machines, and cannot become containers"
    assert finding.hint == "run `stackctl lab down lab` first"


def test_machines_that_do_not_fit_into_memory_are_told_before_any_starts() -> None:
    addresses = {f"gpu{number}": f"10.89.0.{number}" for number in range(11, 249)}

    (finding,) = checks.memory(LabSpec.of("t-none", addresses, kind="vm"))

    assert finding.what.startswith("238 virtual machines need 487424 MB of memory")
    assert checks.memory(LabSpec.of("t-none", addresses)) == []


def test_only_machines_need_qemu() -> None:
    machines, containers = checks.tools_of(SPEC), checks.tools_of(LabSpec("lab", ()))

    assert machines["qemu-system-x86_64"] == "qemu-system-x86"
    assert "qemu-system-x86_64" not in containers


def test_a_machines_sources_have_what_drivers_and_firmware_come_from() -> None:
    mirror = Mirror("https://deb.debian.org/debian", None, (("deb.debian.org", "https"),))

    assert mirror.plain_sources("trixie", "main non-free")[0] == (
        "deb http://deb.debian.org/debian trixie main non-free"
    )
