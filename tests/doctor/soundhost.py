"""A fake host on which every rung of the ladder holds, and the climb."""

from collections.abc import Callable
from pathlib import Path

from stackctl.capabilities.gpu import GpuSpec
from stackctl.doctor.ladder import ladder
from stackctl.doctor.rung import Case, Rung, Trial
from tests.nvidia.fakes import FakeHost, observe
from tests.ops.gpuhost import PCI, SPEC, UUID, working

OTHER = "GPU-00000000-0000-4000-8000-000000000002"
SPECIFICATION = f"""cdiVersion: 0.7.0
kind: nvidia.com/gpu
devices:
- name: {UUID}
  containerEdits:
    mounts:
    - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01
      containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01
"""
SOUND = {UUID: Trial((UUID,), None, True, "passed NVIDIA Test 1")}


def sound(folder: Path) -> FakeHost:
    """A host on which every rung holds."""
    host = working(folder)
    host.write("usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01")
    host.cdi("var/run/cdi/nvidia.yaml", SPECIFICATION)
    host.says("docker", '["/etc/cdi","/var/run/cdi"]')
    return host


def climbed(host: FakeHost, spec: GpuSpec = SPEC, trials: dict[str, Trial] | None = None) -> dict[str, Rung]:
    case = Case("gpu1", spec, observe(host), SOUND if trials is None else trials, "lab/chat:1")
    return {rung.name: rung for rung in ladder(case)}


def logs_xid(number: int) -> Callable[[FakeHost], None]:
    """The kernel has noted this error of the card."""
    line = f"2026-11-24T06:00:00+0000 gpu1 kernel: NVRM: Xid (PCI:{PCI}): {number}, pid=1, name=x"
    return lambda host: host.says("journalctl", line)


def with_other_manager(host: FakeHost) -> None:
    """The NVSwitches' manager is of another version than the driver."""
    host.write("proc/driver/nvidia-nvswitch/devices/0000:05:00.0")
    host.units({"nvidia-fabricmanager.service": "active"})
    host.packages({"nvidia-fabricmanager": "590.48.01-1"})


def split_anew(host: FakeHost) -> None:
    """The card has an instance that no specification has."""
    host.cards.clear()
    host.smi()
    host.smi_gpu(UUID, PCI, mig=(("3g.40gb", "MIG-1"),), mig_mode_current="Enabled")


def with_second_card(host: FakeHost) -> None:
    """There is a card that the inventory does not know."""
    host.device("0000:42:00.0")
    host.smi_gpu(OTHER, "0000:42:00.0", persistence_mode="Enabled")
