"""A fake GPU host that operations plan for, and the specification of one."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.capabilities.gpu import Card, GpuSpec
from stackctl.nvidia import observe, packages
from stackctl.plan.change import HostPlan
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.nvidia.fakes import FakeHost

UUID = "GPU-00000000-0000-4000-8000-000000000001"
PCI = "0000:41:00.0"
KERNEL = "6.12.57+deb13-amd64"
NEXT_KERNEL = "6.12.60+deb13-amd64"
OWN = packages.driver("distribution", "debian-13", 550, "open")
PACKAGED = "550.163.01-2"

SPEC = GpuSpec(
    source="distribution",
    pin="550",
    modules="open",
    sources=(),
    names=OWN,
    cuda=(),
    persistence=True,
    ubuntu=False,
    fabric="auto",
    hold=True,
    leftovers="refuse",
    cards=(Card("a", UUID, PCI, "10de:2684", "containers"),),
)

ALL = """
driver.fits(name='check', spec=spec)
driver.headers(name='headers', spec=spec)
packages = driver.installed(name='install', spec=spec)
hold.held(name='hold', names=spec.holdable, hold=spec.hold)
modules.initramfs(name='initramfs')
modules.built(name='build', spec=spec)
modules.loaded(name='load', spec=spec, after=[packages])
modules.persistent(name='persist', spec=spec)
"""
"""What the deploy does of the driver."""


def with_card(**settings: Any) -> GpuSpec:
    """The specification with more said of its card."""
    [card] = SPEC.cards
    return replace(SPEC, cards=(replace(card, **settings),))


def working(folder: Path, version: str = PACKAGED) -> FakeHost:
    """A host on which everything is as it should be."""
    host = FakeHost(folder)
    upstream = version.partition("-")[0]
    host.device(PCI)
    host.kernel(KERNEL, running=True)
    host.module(KERNEL, upstream, "updates/dkms/nvidia-current-open.ko")
    host.says("dkms", f"nvidia-current-open/{upstream}, {KERNEL}, x86_64: installed")
    host.loaded(upstream)
    host.library(upstream)
    names = (*OWN.driver, *OWN.headers)
    host.packages(dict.fromkeys(names, version), held=OWN.driver)
    host.units({"nvidia-persistenced.service": "active"})
    host.smi()
    host.smi_gpu(UUID, PCI, persistence_mode="Enabled", power_limit="450.00")
    return host


def planned(host: FakeHost, monkeypatch: pytest.MonkeyPatch, call: str, spec: GpuSpec = SPEC) -> HostPlan:
    """What one operation would do there; `spec` is its specification in the call."""
    monkeypatch.setattr("stackctl.ops.gpus.script", lambda: observe.script(str(host.root)))
    run = one_host(
        host.path / "deploy", call, spec=spec, session=lambda _: LocalSession(host.bin), host="gpu1"
    )
    return run.plan().hosts[0]


def reasons(plan: HostPlan) -> list[str]:
    """Why each change is made."""
    assert plan.findings == ()
    return [change.reason for change in plan.changes]


def complaints(plan: HostPlan) -> list[str]:
    """`WHAT | HINT` of what keeps the host from being planned."""
    return [f"{item.what} | {item.hint}" for item in plan.findings]


def run_script(host: FakeHost, script: str) -> "subprocess.CompletedProcess[str]":
    """What a step's script does there, with none but the host's own programs."""
    return subprocess.run(
        ["/bin/sh", "-c", script], env=host.environment, capture_output=True, text=True, check=False
    )
