"""The manager of NVSwitches: there where they are, and of exactly the driver's version."""

from collections.abc import Generator, Mapping, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import GpuSpec
from stackctl.nvidia.observation import Observation
from stackctl.nvidia.version import upstream
from stackctl.ops.apt import (
    INSTALL_SECONDS,
    LOCK_SECONDS,
    Packages,
    PackageState,
    install_script,
    mark_script,
)
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Step
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

_SWITCH = "0680"
"""PCI class of an NVSwitch, which is there before the driver is."""
UNIT = "nvidia-fabricmanager.service"


@operation()
def managed(spec: GpuSpec) -> Generator[Step, None, None]:
    """Have the fabric up: without it CUDA fails with error 802 while everything else looks well.

    Where there are no switches the manager has nothing to do, and fails; it is then neither installed nor started.
    """
    if spec.names is None or not spec.names.fabric:
        return
    seen = host.get_fact(Gpus)
    there = seen.switches or any(device.kind == _SWITCH for device in seen.devices)
    if spec.fabric == "no" or (spec.fabric == "auto" and not there):
        yield from _idle(seen)
        return
    package = spec.names.fabric[0]
    names = (package, *(spec.names.nvlink5 if seen.nvlink5 else ()))
    found = host.get_fact(Packages, names=sorted(names))
    states = {name: found.get(name, PackageState()) for name in names}
    present = states[package].version
    saw(f"package {package}", **({"version": present} if present else {}))
    driver = seen.packages.get(spec.names.driver[0])
    if driver is None:
        reason = f"install {package} at the driver's version, and wait for the fabric"
        yield Step(":", reason=reason, action="add", known=False)
        return
    yield from _at(upstream(driver), package, states)
    if spec.hold and not states[package].held:
        yield Step(
            mark_script("hold", [package], LOCK_SECONDS), reason=f"hold {package}", seconds=LOCK_SECONDS + 120
        )
    if seen.loaded is not None and (why := _down(seen)):
        yield Step(
            _MODULES + _START if seen.nvlink5 else _START,
            reason=f"{why}, and wait for the fabric",
            seconds=300,
            hint=f"read `journalctl -u {UNIT}` on the host",
        )


def _at(version: str, package: str, states: Mapping[str, PackageState]) -> Generator[Step, None, None]:
    """The manager at the driver's version, though the sources have newer ones of its branch, and what it needs."""
    present = states[package].version
    wrong = present is None or upstream(present) != version
    missing = [name for name, state in states.items() if name != package and state.version is None]
    if not (wrong or missing):
        return
    told = [f"{package} {present or 'is missing and'} becomes {version}, as the driver is"] if wrong else []
    told += [f"install {some(missing)}"] if missing else []
    yield Step(
        install_script(
            [*([f"{package}={version}-*"] if wrong else []), *missing],
            LOCK_SECONDS,
            [package] if wrong and states[package].held else [],
        )
        + _same(package, version),
        reason="; ".join(told),
        action="change" if present else "add",
        seconds=INSTALL_SECONDS,
        hint=f"see which versions the sources have, `apt-cache policy {package}`: the driver has to be one of them",
    )


def _idle(seen: Observation) -> Generator[Step, None, None]:
    """Without switches the manager only fails, at every boot."""
    state = seen.units.get(UNIT, "inactive")
    if state != "inactive":
        yield Step(
            f"systemctl disable -q --now {UNIT}; systemctl reset-failed -- {UNIT} 2>/dev/null || true\n",
            reason=f"stop {UNIT}, it is {state} and there is nothing for it to manage",
        )


def _down(seen: Observation) -> str | None:
    """What keeps the fabric from being ready; None: nothing does."""
    if seen.units.get(UNIT) != "active":
        return "start the manager of the NVSwitches"
    states: Sequence[str] = [gpu.fabric_state for gpu in seen.smi.gpus if gpu.fabric_state is not None]
    waiting = sorted({state for state in states if state != "Completed"})
    return f"restart the manager of the NVSwitches, the fabric is {some(waiting)}" if waiting else None


def _same(package: str, version: str) -> str:
    return (
        f"v=$(dpkg-query -W -f '${{Version}}' {package}); v=${{v#*:}}\n"
        f'case $v in {version}[.-]*) ;; *) echo "{package} came as $v, and the driver is {version}" >&2; exit {TOLD} ;; esac\n'
    )


# The manager finds no switches of this generation without these, and says nothing of it.
_MODULES = "for m in mlx5_core mlx5_ib ib_umad; do modprobe $m || exit; done\n"
_START = f"""systemctl enable -q {UNIT} && systemctl restart {UNIT} || exit
for i in $(seq 60); do
  states=$(timeout -k 5 30 nvidia-smi --query-gpu=fabric.state --format=csv,noheader 2>/dev/null | grep -vF N/A | sort -u)
  [ "$states" != Completed ] || exit 0
  sleep 3
done
echo "the fabric is not ready after three minutes: $states" >&2
exit {TOLD}
"""
