"""The driver's packages: which kernels they are for, which version they come at, and what is let go for them."""

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.nvidia import packages
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import (
    KERNEL,
    NEXT_KERNEL,
    OWN,
    SPEC,
    complaints,
    planned,
    reasons,
    run_script,
    working,
)
from tests.ops.programs import program

HEADERS = "driver.headers(name='headers', spec=spec)"
INSTALL = "driver.installed(name='install', spec=spec)"
SIGNED = packages.driver("distribution", "ubuntu-24.04", 580, "open")
UBUNTU = replace(SPEC, pin="580", names=SIGNED, ubuntu=True)
HERE, NEXT = "6.8.0-90-generic", "6.8.0-94-generic"


def ubuntu(folder: Path, installed: dict[str, str], *, module: bool = True) -> FakeHost:
    """An Ubuntu host with Canonical's modules, which have their kernel's version, for the running kernel."""
    host = FakeHost(folder)
    host.kernel(HERE, running=True)
    if module:
        host.module(HERE, "580.126.09", "kernel/nvidia-580srv-open/nvidia.ko")
    versions = dict.fromkeys(SIGNED.driver, "580.126.09-0ubuntu0.24.04.1")
    host.packages({**versions, "linux-modules-nvidia-580-server-open-generic": "6.8.0-90.91", **installed})
    return host


def calls(host: FakeHost, script: str) -> list[str]:
    """What a step tells apt; the driver comes as 550.163.01."""
    log = host.path / "calls"
    for name in ("apt-get", "apt-mark"):
        program(host.bin, name, f'case "$*" in *--simulate*) ;; *) echo "{name} $*" >>{log} ;; esac')
    program(host.bin, "dpkg-query", "echo 550.163.01-2")
    program(host.bin, "dpkg", "true")
    done = run_script(host, script.replace("/var/lib/apt/lists", str(host.path)))
    assert done.returncode == 0, done.stderr
    return [line for line in log.read_text().splitlines() if not line.startswith("apt-get update")]


def test_a_cloud_kernel_has_headers_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = working(tmp_path)
    host.packages({**dict.fromkeys(OWN.driver, "550.163.01-2"), "linux-image-cloud-amd64": "6.12.57-1"})

    assert reasons(planned(host, monkeypatch, HEADERS)) == ["install linux-headers-cloud-amd64"]


def test_a_real_time_kernel_that_does_not_run_needs_no_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.kernel("6.12.57+deb13-rt-amd64", headers=False)

    assert reasons(planned(host, monkeypatch, HEADERS)) == []


def test_kernels_whose_headers_are_nowhere_are_told_before_anything_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.kernel(KERNEL, running=True, headers=False)
    (host.root / f"lib/modules/{KERNEL}/build/Makefile").unlink()
    host.kernel("6.12.30-amd64", headers=False)
    host.kernel(NEXT_KERNEL, headers=False)
    host.offers({f"linux-headers-{NEXT_KERNEL}": "6.12.60-1"})

    assert complaints(planned(host, monkeypatch, HEADERS)) == [
        (
            "kernel 6.12.30-amd64: the sources have no headers for it, without which the driver's modules cannot"
            " be built | remove it: `apt-get purge linux-image-6.12.30-amd64`"
        ),
        (
            f"kernel {KERNEL}: the sources have no headers for it, without which the driver's modules cannot be"
            " built | install the newest kernel, boot it, then apply again"
        ),
    ]


def test_a_part_that_is_lost_comes_back_at_the_version_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    versions = dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2")
    del versions["nvidia-smi"]
    host.packages(versions, held=("libcuda1",))
    [change] = planned(host, monkeypatch, INSTALL).changes

    assert calls(host, change.commands[0]) == [
        "apt-mark unhold libcuda1",
        (
            "apt-get install -q -y --no-install-recommends --allow-downgrades -o Dpkg::Options::=--force-confdef"
            " -o Dpkg::Options::=--force-confold nvidia-smi=550.163.01-*"
        ),
        "apt-mark hold libcuda1",
    ]


def test_what_is_removed_is_let_go_for_good_as_it_may_be_wanted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    versions = dict.fromkeys((*OWN.driver, *OWN.headers), "550.163.01-2")
    held = ("nvidia-kernel-dkms",)
    host.packages({**versions, "nvidia-kernel-dkms": "550.163.01-2"}, held)
    [change] = planned(host, monkeypatch, INSTALL).changes

    assert calls(host, change.commands[0]) == [
        "apt-mark unhold nvidia-kernel-dkms",
        (
            "apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confdef"
            " -o Dpkg::Options::=--force-confold nvidia-kernel-dkms-"
        ),
    ]


def test_debians_daemon_is_of_the_branch_and_not_of_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    versions = dict.fromkeys(OWN.driver, "550.163.01-2")
    host.packages({**versions, "nvidia-persistenced": "550.54.14-1"})

    assert reasons(planned(host, monkeypatch, INSTALL, replace(SPEC, pin="550.163.01"))) == []


def test_signed_modules_have_their_kernels_version_and_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reasons(planned(ubuntu(tmp_path, {}), monkeypatch, INSTALL, UBUNTU)) == []


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        ({"linux-image-generic": "6.8.0-90.91"}, []),
        (
            {"linux-image-generic-hwe-24.04": "6.14.0-37.37"},
            ["install linux-modules-nvidia-580-server-open-generic-hwe-24.04"],
        ),
        (
            {
                "linux-image-generic-hwe-24.04": "6.14.0-37.37",
                "linux-modules-nvidia-580-server-open-generic-hwe-24.04": "6.14.0-37.37",
            },
            [],
        ),
    ],
)
def test_signed_modules_are_those_of_the_kernels_that_the_host_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], told: list[str]
) -> None:
    assert reasons(planned(ubuntu(tmp_path, installed), monkeypatch, INSTALL, UBUNTU)) == told


def test_signed_modules_come_for_every_kernel_that_they_are_offered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ubuntu(tmp_path, {}, module=False)
    host.kernel(NEXT)
    host.offers({f"linux-modules-nvidia-580-server-open-{HERE}": "6.8.0-90.91"})

    plan = planned(host, monkeypatch, INSTALL, UBUNTU)

    assert reasons(plan) == [f"install linux-modules-nvidia-580-server-open-{HERE}"]
    assert f" linux-modules-nvidia-580-server-open-{HERE}\n" in plan.changes[0].commands[0]


def test_a_package_that_came_in_another_version_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.packages({})
    [change] = planned(host, monkeypatch, INSTALL, replace(SPEC, pin="580")).changes
    for name in ("apt-get", "apt-mark", "dpkg"):
        program(host.bin, name, "true")
    program(host.bin, "dpkg-query", "echo 590.48.01-1")

    done = run_script(host, change.commands[0])

    told = f"{OWN.driver[0]} came as 590.48.01-1, and 580 is wanted\n"
    assert (done.returncode, done.stderr) == (70, told)
