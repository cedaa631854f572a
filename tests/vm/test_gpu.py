"""Debian's own NVIDIA driver on a real kernel without a GPU: all of its way but the last step.

The modules are built by DKMS and kept out only by the hardware, which is the kernel's own word for a driver that
is right. The tests of this module share one machine and build on each other, in order.
"""

import json
from typing import Any

import pytest
import yaml

from tests.lab.node import Node

pytestmark = pytest.mark.vm

SYSTEM = "debian-13"
SLOT = "0000:01:00.0"
CARD = {"pci": SLOT, "id": "10de:2684"}
DRIVER = {"source": "distribution", "modules": "proprietary"}
BUILD_SECONDS = 3 * 3600

_STAND_IN = f"""
mkdir -p /run/stand-in
for part in vendor=0x10de device=0x2684 class=0x030000; do
  echo "${{part#*=}}" >"/run/stand-in/${{part%=*}}"
  mount --bind "/run/stand-in/${{part%=*}}" "/sys/bus/pci/devices/{SLOT}/${{part%=*}}"
done
"""
"""Has the device behind the machine's PCIe port look like a GPU to whoever reads sysfs; the kernel knows better."""
_NO_STAND_IN = f"cd /sys/bus/pci/devices/{SLOT} && umount vendor device class"


def declare(node: Node, **settings: Any) -> None:
    """What the inventory says of the host from now on."""
    own = {"address": "10.89.0.11", "os": SYSTEM, "system": {"time": "external"}, **settings}
    text = yaml.safe_dump({"environment": node.lab, "lab": {}, "hosts": {"node": own}})
    (node.site.folder / f"inventory/{node.lab}.yaml").write_text(text)


def examined(node: Node) -> dict[str, Any]:
    """What the doctor says, rung by rung."""
    told: dict[str, Any] = json.loads(node.site.stackctl("doctor", "node", "--gpu", "--json").stdout)
    return {rung["name"]: rung for rung in told["rungs"]}


def test_a_gpu_that_is_not_there_is_told_before_anything_is_changed(node: Node) -> None:
    declare(node, driver=DRIVER, gpus={"a": CARD})

    done = node.apply(seconds=BUILD_SECONDS)

    assert done.returncode == 1
    assert f"there is no device of NVIDIA's at {SLOT}" in done.stderr
    assert "the host's GPUs are none" in done.stderr
    assert node.on("ls /etc/modprobe.d /etc/apt/preferences.d | grep stackctl || echo none") == "none\n"


def test_the_driver_is_installed_and_its_modules_are_built_for_the_kernel_that_runs(node: Node) -> None:
    declare(node, driver=DRIVER)

    done = node.apply(seconds=BUILD_SECONDS)

    assert done.returncode == 0, done.stderr
    kernel = node.on("uname -r").strip()
    assert f"{kernel}, x86_64: installed" in node.on("dkms status")
    assert node.on("modinfo -F version nvidia-current").startswith("550.")


def test_a_second_apply_finds_nothing_to_do(node: Node) -> None:
    assert node.plan() == []


def test_no_upgrade_moves_the_driver(node: Node) -> None:
    held = node.on("apt-mark showhold").split()

    assert {"nvidia-kernel-dkms", "libcuda1", "nvidia-smi"} <= set(held)


def test_nouveau_is_kept_away_from_the_first_moment_of_a_boot_on(node: Node) -> None:
    listed = node.on("lsinitramfs /boot/initrd.img-$(uname -r)")

    assert "etc/modprobe.d/90-stackctl-nouveau.conf" in listed
    assert "nouveau.ko" not in listed
    assert node.on("lsmod | grep -c ^nouveau || true") == "0\n"
    assert "blacklist nouveau" in node.on("modprobe --showconfig")


def test_the_kernel_refuses_the_module_for_want_of_hardware_alone(node: Node) -> None:
    said = node.on("modprobe nvidia 2>&1 || true")

    assert "No such device" in said
    assert "NVRM: No NVIDIA GPU found." in node.on("dmesg")


def test_the_doctor_says_that_only_the_hardware_is_missing(node: Node) -> None:
    rungs = examined(node)

    assert rungs["PCI devices"]["state"] == "skipped"
    assert rungs["kernel modules"]["state"] == "passed"
    assert "refuses to load for want of hardware" in rungs["versions"]["told"]
    assert not any(rung["findings"] for rung in rungs.values())


def test_an_apply_says_that_the_driver_does_not_find_its_gpu(node: Node) -> None:
    node.on(_STAND_IN)
    declare(node, driver=DRIVER, gpus={"a": CARD})

    done = node.apply(seconds=BUILD_SECONDS)

    assert done.returncode == 1
    assert "the driver's module is good, and finds no GPU that it can drive" in done.stderr
    assert "read `journalctl -k -b -g NVRM` on the host" in done.stderr
    assert node.plan() == ["load the driver", "keep the driver loaded"]


def test_the_doctor_tells_each_rung_that_rests_on_the_loaded_driver(node: Node) -> None:
    rungs = examined(node)

    assert rungs["PCI devices"] == {
        "name": "PCI devices",
        "state": "passed",
        "told": f"{SLOT} 10de:2684",
        "findings": [],
    }
    assert rungs["bound drivers"]["told"] == f"{SLOT} is driven by nothing, not by nvidia"
    assert rungs["kernel modules"]["state"] == "passed"
    assert rungs["versions"]["told"] == "no driver is loaded"
    assert rungs["GPUs and UUIDs"]["state"] == "skipped"


def test_another_card_in_the_slot_than_the_declared_one_is_told(node: Node) -> None:
    declare(node, driver=DRIVER, gpus={"a": {"pci": SLOT, "id": "10de:26b9"}})

    done = node.apply(seconds=BUILD_SECONDS)

    assert done.returncode == 1
    assert f"{SLOT} is 10de:2684, not 10de:26b9" in done.stderr


def test_a_driver_that_is_no_longer_wanted_at_a_version_is_let_go(node: Node) -> None:
    node.on(_NO_STAND_IN)
    declare(node, driver={**DRIVER, "hold": False})

    done = node.apply(seconds=BUILD_SECONDS)

    assert done.returncode == 0, done.stderr
    assert node.on("apt-mark showhold") == ""
    assert json.loads(node.site.stackctl("plan", node.lab, "--json").stdout)["hosts"][0]["changes"] == []
