"""What can happen to a host and to its operators in the middle of an apply, and how the next one fares.

The tests of this module share one lab.
"""

import re
import signal
import time
from collections.abc import Iterator

import pytest

from stackctl.lab import lifecycle
from tests.lab.node import Node

pytestmark = pytest.mark.lab

CONF = "/etc/trouble.conf"
UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
SLOW = "touch /run/slow; for n in $(seq 25); do [ -e /run/go ] && break; sleep 1; done; touch /run/ended"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node.of(tmp_path_factory.mktemp("project"), "t-trouble")
    lifecycle.up(node.site.spec, lambda _: None)
    yield node
    lifecycle.down(node.lab)


@pytest.fixture
def node(lab: Node) -> Node:
    """The host without anything that these tests make."""
    lab.on(
        f"systemctl disable --now trouble.service 2>/dev/null; rm -rf {CONF} /etc/later /run/slow /run/go /run/ended"
        " /etc/systemd/system/trouble.service /var/lib/stackctl /run/stackctl/units; systemctl daemon-reload"
    )
    return lab


def work(text: str = "one\n", slow: str = "true") -> str:
    """A deploy with files, a unit that reads them, a step of its own in between, and something after it."""
    return f"""
    unit = files.write(
        name="write the unit", artifacts=[Artifact("/etc/systemd/system/trouble.service", {UNIT!r})])
    conf = files.write(name="write its settings", artifacts=[Artifact("{CONF}", {text!r})])
    server.shell(name="take a while", commands=[{slow!r}], _if=conf.did_change)
    systemd.service(name="run it", unit="trouble.service", reads=["{CONF}"], after=[conf],
        defined_by=["/etc/systemd/system/trouble.service"], redefined=[unit])
    files.write(name="write what is later", artifacts=[Artifact("/etc/later", {text!r})])
    """


def converges(node: Node, text: str) -> None:
    """The next apply, without any flag, makes everything good and leaves nothing to do or to tell."""
    done = node.apply()
    assert done.returncode == 0, done.stdout + done.stderr
    assert node.plan() == []
    assert node.site.stackctl("drift", node.lab).returncode == 0
    assert node.on(f"cat {CONF} /etc/later; systemctl is-active trouble.service") == f"{text}{text}active\n"


def wait_for(node: Node, path: str) -> None:
    for _ in range(300):
        if node.on(f"[ -e {path} ] && echo there || true") == "there\n":
            return
        time.sleep(0.1)
    raise TimeoutError(path)


@pytest.mark.parametrize("full", ["/var/lib/stackctl", "/etc/systemd/system"])
def test_a_disk_that_is_full_is_named_and_leaves_nothing_half_written(node: Node, full: str) -> None:
    node.deploy(work())
    node.on(f"mkdir -p {full}; mount -t tmpfs -o size=8k,mode=700 tmpfs {full}")
    node.on(f"cat /dev/zero >{full}/full 2>/dev/null || true")

    done = node.apply()
    left = node.on(f"ls -A {full}")
    node.on(f"umount {full}; systemctl daemon-reload")

    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert set(left.split()) <= {"full", "audit.jsonl"}
    assert node.on(f"ls {CONF} 2>/dev/null || true") == ""
    converges(node, "one\n")


def test_a_host_that_reboots_in_the_middle_is_a_finding_and_the_next_apply_takes_up_where_it_was(
    node: Node,
) -> None:
    node.deploy(work(slow=SLOW))
    before = node.on("cat /proc/sys/kernel/random/boot_id")
    process = node.site.start("apply", node.lab, "--yes")
    wait_for(node, "/run/slow")
    node.on("systemctl reboot --force")
    out, err = process.communicate(timeout=120)
    for _ in range(100):
        if node.site.stackctl("plan", node.lab).returncode == 0:
            break
        time.sleep(0.3)

    assert process.returncode == 1, out
    assert "node · system · take a while" in err
    assert node.on("cat /proc/sys/kernel/random/boot_id") != before
    assert node.history()[-1]["result"] == "cut off"
    assert [step["result"] for step in node.history()[-1]["steps"]] == ["done", "done", "cut off"]
    converges(node, "one\n")


def test_of_two_operators_the_second_is_told_who_the_first_is(node: Node) -> None:
    node.deploy(work(slow=SLOW))
    first = node.site.start("apply", node.lab, "--yes")
    wait_for(node, "/run/slow")

    second = node.apply()
    node.on("touch /run/go")
    out, _ = first.communicate(timeout=120)

    assert second.returncode == 1
    assert re.search(r"node  \S+ from \S+ since [-0-9]+ [:0-9]+ UTC is at work on this host\n", second.stderr)
    assert "`--break-lock`" in second.stderr
    assert first.returncode == 0, out
    assert [visit["result"] for visit in node.history()] == ["done"]


def test_who_breaks_the_lock_goes_on_and_the_first_operator_stops_before_his_next_step(node: Node) -> None:
    node.deploy(work(slow=SLOW))
    first = node.site.start("apply", node.lab, "--yes")
    wait_for(node, "/run/slow")

    second = node.apply("--break-lock")
    node.on("touch /run/go")
    _, err = first.communicate(timeout=120)

    assert second.returncode == 0, second.stderr
    assert first.returncode == 1
    assert "somebody has broken this run's lock" in err
    assert node.plan() == []


def test_a_lock_whose_holder_was_killed_goes_with_its_last_step_and_needs_no_hand(node: Node) -> None:
    node.deploy(work(slow=SLOW))
    first = node.site.start("apply", node.lab, "--yes")
    wait_for(node, "/run/slow")
    first.send_signal(signal.SIGKILL)
    first.communicate()

    assert "is at work on this host" in node.apply().stderr
    wait_for(node, "/run/ended")

    converges(node, "one\n")
    assert [visit["result"] for visit in node.history()] == ["cut off", "done"]


@pytest.mark.parametrize("jump", ["+1 day", "-1 day"])
def test_a_clock_that_was_elsewhere_when_files_were_written_costs_no_convergence(
    node: Node, jump: str
) -> None:
    """The clock of a container is its machine's: `date` of the host's programs jumps, and files' times with it."""
    node.deploy(work())
    converges(node, "one\n")
    lie = f'#!/bin/sh\nexec /bin/date -d "{jump}" "$@"\n'
    node.on(f"printf '%s' '{lie}' >/usr/local/sbin/date; chmod 755 /usr/local/sbin/date")
    node.deploy(work("two\n"))

    done = node.apply()
    times = [visit["at"] for visit in node.history()]
    node.on("rm /usr/local/sbin/date")

    assert done.returncode == 0, done.stdout + done.stderr
    assert (times[-1] > times[0]) is (jump == "+1 day")
    node.deploy(work("three\n"))
    converges(node, "three\n")
    steps = [visit["steps"][0]["operation"] for visit in node.history()]
    assert steps == ["write the unit", "write its settings", "write its settings"]


def test_settings_whose_time_lies_in_the_future_restart_a_unit_once_at_most(node: Node) -> None:
    node.deploy(work())
    converges(node, "one\n")
    since = node.on("systemctl show -p ActiveEnterTimestampMonotonic trouble.service")

    node.on(f"touch -d '+1 day' {CONF}; rm -rf /run/stackctl/units")
    assert node.apply().returncode == 0
    assert node.plan() == []
    assert node.apply().returncode == 0

    assert node.on("systemctl is-active trouble.service") == "active\n"
    assert since.startswith("ActiveEnterTimestampMonotonic=")
