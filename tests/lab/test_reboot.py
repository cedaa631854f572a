"""Hosts that have to be restarted, with a real systemd: asked for, allowed, waited for, gone on from.

The tests of this module share one lab and build on each other, in order.
"""

from collections.abc import Iterator

import pytest

from stackctl.lab import lifecycle
from tests.lab.node import Node

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node.of(tmp_path_factory.mktemp("project"), "t-reboot")
    lifecycle.up(node.site.spec, lambda _: None)
    yield node
    lifecycle.down(node.lab)


def kernel(text: str) -> str:
    """A deploy whose first file counts from the next boot on."""
    return f"""
    kernel = files.write(name="set the kernel", artifacts=[Artifact("/etc/kernel.conf", {text!r})])
    machine.reboot(name="boot into it", reason="the kernel's settings change", marker="kernel", after=[kernel])
    files.write(name="write what needs it", artifacts=[Artifact("/etc/late.conf", {text!r})])
    """


def boot_id(node: Node) -> str:
    return node.on("cat /proc/sys/kernel/random/boot_id")


def test_a_reboot_is_planned_with_its_reason_and_does_not_happen_unless_it_is_allowed(node: Node) -> None:
    node.deploy(kernel("one\n"))
    before = boot_id(node)

    shown = node.site.stackctl("plan", node.lab).stdout
    done = node.apply()

    assert (
        "  > system  boot into it         reboot, the kernel's settings change, after `set the kernel`"
        in shown
    )
    assert done.returncode == 1
    assert "node · system · boot into it  needs a reboot, the kernel's settings change" in done.stderr
    assert "`--allow-reboot`" in done.stderr
    assert boot_id(node) == before
    assert node.on("cat /etc/kernel.conf; ls /etc/late.conf 2>/dev/null || true") == "one\n"


def test_a_reboot_that_is_owed_is_still_owed_to_the_next_run_which_goes_on_after_it(node: Node) -> None:
    before = boot_id(node)
    assert node.plan() == ["boot into it", "write what needs it"]

    done = node.apply("--allow-reboot")

    assert done.returncode == 0, done.stderr
    assert boot_id(node) != before
    assert node.on("cat /etc/late.conf") == "one\n"
    assert node.plan() == []
    assert node.history()[-1]["notes"] == ["rebooted: the kernel's settings change"]


def test_change_reboot_and_what_follows_are_one_run(node: Node) -> None:
    node.deploy(kernel("two\n"))
    before = boot_id(node)

    done = node.apply("--allow-reboot")

    assert done.returncode == 0, done.stderr
    assert "node  done, 3 changes" in done.stdout
    assert boot_id(node) != before
    assert node.plan() == []


def test_a_host_that_wants_the_same_reboot_again_is_stopped_with_the_reason(node: Node) -> None:
    node.deploy(
        "machine.reboot(name='boot again', reason='something asks for it', marker='m', packages=True)"
    )
    owed = "/etc/tmpfiles.d/owed.conf"
    node.on(f"echo 'f /run/reboot-required 0644 root root -' >{owed}; touch /run/reboot-required")

    done = node.apply("--allow-reboot")

    assert done.returncode == 1
    assert (
        "node · system · boot again  wants the same reboot again, an installed package asks for it"
        in done.stderr
    )
    assert len(node.history()[-1]["notes"]) == 2
    node.on(f"rm {owed} /run/reboot-required")
