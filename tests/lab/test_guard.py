"""Changes that can cut the operator off, with a real sshd and systemd: the host comes back by itself.

The tests of this module share one lab.
"""

import time
from collections.abc import Iterator

import pytest

from stackctl.lab import host, lifecycle
from tests.lab.node import Node

pytestmark = pytest.mark.lab

CONF = "/etc/ssh/sshd_config.d/50-test.conf"
FORMER = "MaxSessions 20\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node.of(tmp_path_factory.mktemp("project"), "t-guard")
    lifecycle.up(node.site.spec, lambda _: None)
    yield node
    lifecycle.down(node.lab)


@pytest.fixture
def node(lab: Node) -> Node:
    """The host with its former settings, which let everybody in."""
    lab.on(
        f"printf '{FORMER}' >{CONF}; systemctl reset-failed; systemctl restart ssh; rm -rf /var/lib/stackctl"
    )
    return lab


def settings(text: str, more: str = "") -> str:
    """A deploy that writes sshd's settings under guard."""
    return f"""
    guard = Guard("sshd", ("{CONF}",), ("systemctl restart ssh",))
    conf = files.write(name="write sshd's settings", artifacts=[Artifact("{CONF}", {text!r})], guard=guard)
    systemd.service(name="run sshd", unit="ssh.service", reads=["{CONF}"], after=[conf], guard=guard)
    {more}
    """


def wait_until(node: Node, condition: str, seconds: int) -> float:
    """Seconds until a shell command on the host succeeds."""
    began = time.monotonic()
    while node.on(f"({condition}) >/dev/null 2>&1 && echo yes || echo no") != "yes\n":
        assert time.monotonic() - began < seconds, condition
        time.sleep(0.5)
    return time.monotonic() - began


def test_a_change_that_lets_a_fresh_connection_in_stands(node: Node) -> None:
    node.deploy(settings("MaxSessions 30\n"))

    done = node.apply()

    assert done.returncode == 0, done.stderr
    assert "checking that a fresh connection finds its way in" in done.stderr
    assert node.on(f"cat {CONF}; ls /var/lib/stackctl/guard") == "MaxSessions 30\n"
    assert "guard" not in node.on("systemctl list-timers --all")
    assert node.history()[-1]["result"] == "done"


@pytest.mark.parametrize("locking_out", ["PermitRootLogin no\n", "Port 2222\n"])
def test_a_change_that_locks_the_operator_out_is_taken_back_and_said_so(node: Node, locking_out: str) -> None:
    node.deploy(settings(locking_out, 'files.write(name="later", artifacts=[Artifact("/etc/later", "x")])'))

    done = node.apply()

    assert done.returncode == 1
    assert "the change to sshd cut this machine off; the host is as it was before" in done.stderr
    assert "node  failed after 0 changes" in done.stdout
    assert node.on(f"cat {CONF}; ls /etc/later 2>/dev/null || true") == FORMER
    assert node.plan() == ["write sshd's settings", "run sshd", "later"]
    assert "the host took the change to sshd back by itself" in node.history()[-1]["notes"]


def test_a_host_whose_operator_died_in_between_restores_what_was_within_a_minute(node: Node) -> None:
    node.deploy(settings("Port 2222\n"))
    process = node.site.start("apply", node.lab, "--yes")
    wait_until(node, "ss -ltn | grep -q :2222", 60)
    process.kill()
    process.communicate()

    assert wait_until(node, f"grep -q '{FORMER.strip()}' {CONF} && ss -ltn | grep -q ':22 '", 60) > 5

    assert node.plan() == ["write sshd's settings", "run sshd"]
    assert node.history()[-1]["result"] == "cut off"
    assert node.history()[-1]["notes"] == ["the host took the change to sshd back by itself"]


def test_an_apply_takes_back_what_a_run_that_was_cut_off_never_confirmed(node: Node) -> None:
    node.deploy(settings("MaxSessions 30\n"))
    stop = """
    import os, signal
    from stackctl.engine import drive
    drive._Drive._reconnect = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    """
    node.deploy(f"{settings('MaxSessions 30')}{stop}")
    assert node.apply().returncode < 0
    assert node.on(f"cat {CONF}") == "MaxSessions 30"

    node.deploy(settings("MaxSessions 40\n"))
    done = node.apply()

    assert done.returncode == 1
    assert "an apply would do something else now" in done.stderr
    assert node.on(f"cat {CONF}") == FORMER
    assert node.apply().returncode == 0
    assert node.on(f"cat {CONF}") == "MaxSessions 40\n"


def test_a_host_that_loses_its_power_before_all_is_well_comes_back_as_it_was(node: Node) -> None:
    stop = """
    import os, signal
    from stackctl.engine import drive
    drive._Drive._reconnect = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    """
    node.deploy(f"{settings('Port 2222')}{stop}")
    assert node.apply().returncode < 0
    booted = node.on("cat /proc/sys/kernel/random/boot_id")
    assert node.on(f"cat {CONF}") == "Port 2222"

    node.on("(sleep 1; systemctl reboot --force --force) >/dev/null 2>&1 &")
    time.sleep(2)
    spec = node.site.spec
    host.wait_until_up(spec, spec.host("node"))  # as one that listens where it did before

    assert node.on("cat /proc/sys/kernel/random/boot_id") != booted
    assert node.on(f"cat {CONF}") == FORMER
    wait_until(node, '[ -z "$(ls /var/lib/stackctl/guard)" ]', 30)
    assert node.on("find /etc/systemd/system -name 'stackctl-guard*'") == ""
    assert node.history()[-1]["notes"] == ["the host took the change to sshd back by itself"]


def test_a_guarded_step_that_fails_leaves_nothing_of_its_change(node: Node) -> None:
    node.deploy(settings("NoSuchSetting yes\n"))

    done = node.apply()

    assert done.returncode == 1
    assert "the files of sshd are as they were before" in done.stderr
    assert node.on(f"cat {CONF}") == FORMER


def test_a_file_that_was_not_there_is_gone_again(node: Node) -> None:
    node.on(f"rm {CONF}; systemctl reset-failed; systemctl restart ssh")
    node.deploy(settings("Port 2222\n"))

    assert node.apply().returncode == 1

    assert node.on(f"ls {CONF} 2>/dev/null || echo none") == "none\n"
