"""What makes and removes virtual machines, and what a machine is once it is up.

The tests of this module share one machine and build on each other, in order.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab import accelerator, lifecycle
from stackctl.lab.spec import LabSpec
from stackctl.lab.status import remains, status
from tests.lab.node import Node

pytestmark = pytest.mark.vm

SYSTEM = "debian-12"
OTHER = LabSpec.of("t-vm-killed", {"node": "10.89.0.11"}, images=(), kind="vm")


def killed_up(seconds: float) -> None:
    """Begin to bring the other lab up, and be killed."""
    code = (
        "from stackctl.lab import lifecycle; from stackctl.lab.spec import LabSpec; "
        f"lifecycle.up(LabSpec.of({OTHER.name!r}, {{'node': '10.89.0.11'}}, images=(), kind='vm'), lambda _: None)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        time.sleep(seconds)
        process.kill()


def test_a_machine_has_a_kernel_of_its_own_and_has_come_up_whole(node: Node) -> None:
    here = Path("/proc/sys/kernel/osrelease").read_text()

    assert node.on("systemctl is-system-running --wait; systemctl --failed --no-legend") == "running\n"
    assert node.on("uname -r").endswith("-amd64\n")
    assert node.on("uname -r") != here
    assert node.on("systemd-detect-virt --vm").strip() in {"qemu", "kvm"}
    assert node.on("command -v python3 || echo none") == "none\n"
    assert status(node.site.spec).up


def test_commands_reach_a_machine_word_for_word_with_their_exit_status(node: Node) -> None:
    where = ["--lab", node.lab, "--project", str(node.site.folder)]
    command = ["sh", "-c", 'printf "<%s>" "$@"; exit 7', "sh", "a  b", "$HOME", "it's"]
    words = [sys.executable, "-m", "stackctl", "lab", "exec", *where, "node", "--", *command]

    said = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert said.stdout == "<a  b><$HOME><it's>", said.stderr
    assert said.returncode == 7


def test_a_machine_has_the_network_of_a_host_of_the_lab(node: Node) -> None:
    assert node.on("ip -br -4 addr | awk '{print $1, $3}'").splitlines() == [
        "lo 127.0.0.1/8",
        "eth0 10.89.0.11/24",
        "wan1 198.18.1.11/24",
        "wan2 198.18.2.11/24",
    ]
    assert node.on("ip route show default | cut -d' ' -f 1-5").splitlines() == [
        "default via 198.18.1.1 dev wan1",
        "default via 198.18.2.1 dev wan2",
    ]


def test_a_machine_installs_packages_also_those_that_are_not_free(node: Node) -> None:
    node.on("apt-get -q update >/dev/null")

    assert "Candidate: 5" in node.on("apt-cache policy nvidia-kernel-dkms")
    node.on("DEBIAN_FRONTEND=noninteractive apt-get -q -y install tree >/dev/null 2>&1 && command -v tree")


def test_a_plain_up_leaves_machines_as_they_are(node: Node) -> None:
    project = node.site.folder
    before = node.on("cat /proc/sys/kernel/random/boot_id")

    done = node.site.stackctl("lab", "up", node.lab)

    assert done.returncode == 0, done.stderr
    assert node.on("cat /proc/sys/kernel/random/boot_id") == before
    assert (project / "inventory").is_dir()


def test_containers_cannot_take_the_place_of_machines(node: Node) -> None:
    with pytest.raises(FindingsError, match="its hosts are virtual machines, and cannot become containers"):
        lifecycle.up(LabSpec.of(node.lab, {"node": "10.89.0.11"}), lambda _: None)


def test_a_machine_that_moves_in_the_inventory_is_told(node: Node) -> None:
    moved = LabSpec.of(node.lab, {"node": "10.89.0.12"}, kind="vm")

    with pytest.raises(FindingsError, match=r"its host `node` is at 10\.89\.0\.11"):
        lifecycle.up(moved, lambda _: None)


def test_the_kernel_command_line_is_what_grub_was_told(node: Node) -> None:
    node.deploy(
        """
        line = files.write(
            name="set the kernel's command line",
            artifacts=[Artifact("/etc/default/grub.d/50-test.cfg",
                                'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX stackctl.test=1"\\n')],
        )
        server.shell(name="tell GRUB", commands=["update-grub"], _if=line.did_change)
        machine.reboot(name="boot with it", reason="the kernel's command line changes", marker="line", after=[line])
        """
    )
    before = node.on("cat /proc/sys/kernel/random/boot_id")

    done = node.apply("--allow-reboot", seconds=1800)

    assert done.returncode == 0, done.stderr
    assert node.on("cat /proc/sys/kernel/random/boot_id") != before
    assert "stackctl.test=1" in node.on("cat /proc/cmdline").split()
    assert node.plan() == []


@pytest.mark.parametrize("seconds", [2, 4, 8, 15])
def test_an_up_that_is_killed_is_removed_whole(seconds: float) -> None:
    killed_up(seconds)

    lifecycle.down(OTHER.name)

    assert remains(OTHER.name) == []


def test_what_cannot_run_a_guest_is_not_taken_for_an_accelerator() -> None:
    assert accelerator.runs_guests(("-accel", "tcg"))
    assert not accelerator.runs_guests(("-accel", "hax"))


def test_down_leaves_nothing_on_this_machine(node: Node) -> None:
    lifecycle.down(node.lab)

    assert remains(node.lab) == []
    assert not node.site.spec.state.exists()
