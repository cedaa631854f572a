import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab import host, lifecycle
from stackctl.lab.registry import Registry
from stackctl.lab.shell import inside, run
from stackctl.lab.spec import LabSpec
from stackctl.lab.status import remains, status

pytestmark = pytest.mark.lab

HOSTS = {"edge": "10.89.0.11", "gpu1": "10.89.0.12"}
ONE = LabSpec.of("t-one", HOSTS)
TWO = LabSpec.of("t-two", HOSTS)


@pytest.fixture(scope="module", autouse=True)
def one() -> Iterator[LabSpec]:
    lifecycle.up(ONE, lambda _: None)
    yield ONE
    lifecycle.down(ONE.name)
    lifecycle.down(TWO.name)


def start(deed: str, spec: LabSpec) -> "subprocess.Popen[bytes]":
    """The same in a process that can be killed."""
    argument = repr(spec.name) if deed == "down" else f"LabSpec.of({spec.name!r}, {HOSTS!r}), lambda _: None"
    code = f"from stackctl.lab import lifecycle; from stackctl.lab.spec import LabSpec; lifecycle.{deed}({argument})"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def killed_after(seconds: float, deed: str, spec: LabSpec) -> None:
    with start(deed, spec) as process:
        time.sleep(seconds)
        process.kill()


def on(spec: LabSpec, name: str, command: str) -> str:
    return run([*host.entering(spec, spec.host(name)), "sh", "-c", command])


def login(spec: LabSpec, user: str, name: str, command: str, stdin: str = "") -> str:
    known = ["-o", f"UserKnownHostsFile={spec.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    address = f"{user}@{spec.host(name).address}"
    ssh = ["ssh", "-i", str(spec.key), *known, address, command]
    return run(inside(spec.namespace("operator"), ssh), stdin=stdin)


def test_all_hosts_are_up_and_the_registry_serves_the_images() -> None:
    seen = status(ONE)

    assert [(each.name, each.state) for each in seen.hosts] == [("edge", "up"), ("gpu1", "up")]
    assert {"lab/fake-model:1", "lab/tts:1"} <= set(seen.images)


def test_a_second_up_is_quick_and_leaves_hosts_as_they_are() -> None:
    on(ONE, "edge", "echo mine > /root/note")
    began = time.monotonic()

    lifecycle.up(ONE, lambda _: None)

    assert time.monotonic() - began < 10
    assert on(ONE, "edge", "cat /root/note") == "mine\n"


def test_the_operator_logs_in_over_ssh_to_hosts_whose_keys_are_known() -> None:
    password = ONE.sudo_password.read_text()

    assert login(ONE, "root", "edge", "hostname") == "edge\n"
    assert login(ONE, "ops", "gpu1", "sudo -n id -u") == "0\n"
    assert login(ONE, "opspw", "gpu1", "sudo -S -p '' id -u", password) == "0\n"
    with pytest.raises(FindingsError, match="password is required"):
        login(ONE, "opspw", "gpu1", "sudo -n id -u")


def test_a_host_is_a_fresh_debian_without_python() -> None:
    assert on(ONE, "edge", "systemctl is-system-running --wait") == "running\n"
    assert on(ONE, "edge", "cat /etc/debian_version").startswith("13")
    assert on(ONE, "edge", "command -v python3 || echo none") == "none\n"


def test_a_host_installs_packages_and_reaches_nothing_else_outside() -> None:
    fetch = "curl -s -o /dev/null -m 10 -w '%{http_code}'"

    on(ONE, "edge", "apt-get -qq update && apt-get -qq install tree >/dev/null 2>&1 && command -v tree")

    assert on(ONE, "edge", f"{fetch} --proxy http://198.18.0.10:3142 http://example.com/") == "403"
    assert on(ONE, "edge", f"{fetch} http://203.0.113.80/ || true") == "000"


def test_a_host_trusts_the_registry_by_its_name() -> None:
    assert on(ONE, "gpu1", "curl -sS -m 10 https://registry.lab:5000/v2/") == "{}"


def test_a_host_goes_out_through_the_other_isp_when_a_cable_is_pulled() -> None:
    cable = ["ip", "-n", ONE.host_namespace("gpu1"), "link", "set", "wan1"]
    run([*cable, "down"])
    try:
        assert on(ONE, "gpu1", "curl -sS -m 10 https://registry.lab:5000/v2/") == "{}"
    finally:
        run([*cable, "up"])
        lifecycle.up(ONE, lambda _: None)

    assert "default via 198.18.1.1 dev wan1 metric 100" in on(ONE, "gpu1", "ip route")


def test_a_host_that_restarts_comes_back() -> None:
    before = on(ONE, "gpu1", "cat /proc/sys/kernel/random/boot_id")
    on(ONE, "gpu1", "systemctl reboot")
    time.sleep(1)
    host.wait_until_up(ONE, ONE.host("gpu1"))

    assert on(ONE, "gpu1", "cat /proc/sys/kernel/random/boot_id") != before


def test_an_image_is_pushed_once() -> None:
    registry = Registry(ONE)
    before = registry.digest("lab/tts", "1")

    lifecycle.up(ONE, lambda _: None)

    assert before is not None
    assert registry.digest("lab/tts", "1") == before


def test_two_labs_stand_side_by_side_with_the_same_addresses() -> None:
    lifecycle.up(TWO, lambda _: None)
    on(TWO, "edge", "echo two > /root/which")

    assert status(ONE).up
    assert status(TWO).up
    assert on(ONE, "edge", "cat /root/which || echo other") == "other\n"

    lifecycle.down(TWO.name)

    assert remains(TWO.name) == []
    assert status(ONE).up


@pytest.mark.parametrize("seconds", [0.7, 1.2, 1.6, 2.2, 3.0])
def test_an_up_that_is_killed_is_completed_by_the_next_or_removed(seconds: float) -> None:
    killed_after(seconds, "up", TWO)
    lifecycle.up(TWO, lambda _: None)

    assert status(TWO).up

    killed_after(seconds, "up", TWO)
    lifecycle.down(TWO.name)

    assert remains(TWO.name) == []


@pytest.mark.parametrize("seconds", [0.6, 0.8, 1.1])
def test_a_down_that_is_killed_is_completed_by_the_next(seconds: float) -> None:
    lifecycle.up(TWO, lambda _: None)
    killed_after(seconds, "down", TWO)

    lifecycle.down(TWO.name)

    assert remains(TWO.name) == []


def test_an_up_that_is_killed_right_at_its_start_is_removed() -> None:
    for tenths in range(4, 12):
        killed_after(tenths / 10, "up", TWO)
    lifecycle.down(TWO.name)

    assert remains(TWO.name) == []


def test_a_second_up_of_the_same_lab_at_the_same_time_is_refused() -> None:
    with (
        lifecycle.only_one("t-two"),
        pytest.raises(FindingsError, match="another `up` or `down` of it is at work"),
    ):
        lifecycle.up(TWO, lambda _: None)


def test_the_cache_stays_while_a_lab_stands_on_it() -> None:
    with pytest.raises(FindingsError, match="still uses the cache"):
        lifecycle.prune()


def test_down_leaves_nothing_on_this_machine() -> None:
    lifecycle.down(ONE.name)

    assert remains(ONE.name) == []
    assert not Path("/var/lib/stackctl-lab/t-one").exists()
    lifecycle.up(ONE, lambda _: None)
