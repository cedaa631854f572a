"""The driver's kernel modules: kept clear of nouveau, built for every kernel, loaded, replaced, kept loaded."""

import shlex
from collections.abc import Generator, Sequence
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import GpuSpec
from stackctl.core.finding import Finding, FindingsError
from stackctl.nvidia.kernels import realtime
from stackctl.nvidia.observation import Observation
from stackctl.nvidia.version import upstream
from stackctl.ops.driver import BUILD_SECONDS, fitting
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Reboot, Step, changes
from stackctl.ops.swap import load_script, swap_script
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

_OWN = {
    "nvidia-persiste",
    "nvidia-persistenced",
    "nv-fabricmanage",
    "nv-fabricmanager",
    "nv-hostengine",
    "dcgm-exporter",
}
"""Commands of those daemons, as the kernel shortens them."""


@operation()
def initramfs(after: Sequence[Any] = ()) -> Generator[Step, None, None]:
    """Have nouveau kept out from the first moment of a boot on, whichever kernel it is."""
    seen = host.get_fact(Gpus)
    touched = any([changes(operation) for operation in after])
    old = [kernel.release for kernel in seen.kernels if touched or kernel.nouveau_in_initramfs]
    for release in old:
        yield Step(
            f"update-initramfs -u -k {shlex.quote(release)}",
            reason=f"keep nouveau out of the initramfs of {release}",
            seconds=600,
        )


@operation()
def built(spec: GpuSpec, after: Sequence[Any] = ()) -> Generator[Step, None, None]:
    """Have the modules built for every kernel that can boot.

    Packages build for the kernel that runs and for the newest one; the operations in `after` bring them.
    """
    package = next((name for name in spec.names.driver if "dkms" in name), None) if spec.names else None
    if package is None:
        return
    seen = host.get_fact(Gpus)
    kernels = [kernel for kernel in seen.kernels if not realtime(kernel.release)]
    if any([changes(operation) for operation in after]):
        if others := [kernel.release for kernel in kernels if not kernel.running]:
            yield _build(others, "", f"build the modules for {some(others)} too", known=False)
        return
    if not seen.builds:
        return
    version = upstream(seen.packages[package]) if package in seen.packages else ""
    done = {
        each.kernel for each in seen.builds if each.state == "installed" and version in ("", each.version)
    }
    for kernel in kernels:
        saw(f"driver module for {kernel.release}", state="installed" if kernel.release in done else "missing")
    todo = [kernel.release for kernel in kernels if kernel.headers and kernel.release not in done]
    if todo:
        yield _build(todo, version, f"build the modules for {some(todo)}")


def _build(releases: Sequence[str], version: str, reason: str, *, known: bool = True) -> Step:
    return Step(
        _BUILD + "".join(f"build {shlex.quote(release)} {shlex.quote(version)}\n" for release in releases),
        reason=reason,
        action="add",
        seconds=BUILD_SECONDS * len(releases),
        hint="a kernel newer than the driver needs a newer driver; a kernel that nobody boots can be removed",
        known=known,
    )


# dkms fails as well where a module of somebody else's does, and what counts is whether ours is there.
_BUILD = f"""build() {{
  dkms autoinstall -k "$1" >/dev/null 2>&1
  dkms status -k "$1" | grep -q "^nvidia.*$2.*: installed" && return
  echo "the driver's modules cannot be built for $1" >&2
  log=$(ls -t /var/lib/dkms/nvidia*/*/build/make.log /var/lib/dkms/nvidia*/*/"$1"/*/log/make.log 2>/dev/null | head -n 1)
  [ -z "$log" ] || {{ grep -m 3 -iE 'error[: ]' "$log"; tail -n 2 "$log"; }} >&2
  exit {TOLD}
}}
"""


@operation()
def loaded(spec: GpuSpec, after: Sequence[Any] = ()) -> Generator[Step | Reboot, None, None]:
    """Have the kernel run the driver that is installed; where the old one cannot be replaced, ask for a reboot.

    The operations in `after` bring the driver: what they will have done is not on the host yet when it is planned.
    """
    if spec.names is None:
        return
    seen = host.get_fact(Gpus)
    saw("driver", **{"loaded": seen.loaded} if seen.loaded else {})
    cards = [device for device in seen.gpus if "vfio" not in (device.driver or "")]
    disk = seen.running.module if seen.running else None
    changed = any([changes(operation) for operation in after])
    coming = changed and not (disk and fitting(spec.pin, disk) and seen.library in (None, disk))
    if not cards or (not coming and disk is not None and _runs(spec, seen, disk, changed=changed)):
        return
    if seen.nouveau and any(card.driver == "nouveau" for card in cards) and (disk or coming):
        yield Reboot("nouveau drives the GPUs, and lets go of them at a boot only", "driver")
    elif disk is None and not coming:
        yield from _elsewhere(seen)
    else:
        yield _change(spec, seen, None if coming else disk)


def _runs(spec: GpuSpec, seen: Observation, disk: str, *, changed: bool) -> bool:
    """Whether the kernel runs the module on disk, of the flavour that is wanted; swapping helps no other case."""
    if seen.loaded != disk or seen.flavour not in (None, spec.modules):
        return False
    if seen.library not in (None, disk) and not changed:
        what = (
            f"the libraries are of driver {seen.library}, and the module on disk and in the kernel is {disk}"
        )
        hint = "see `ldconfig -p | grep libnvidia-ml` and `dpkg -l '*nvidia*'`: one of them is of another installation"
        raise FindingsError(Finding("driver", what, hint))
    return True


def _elsewhere(seen: Observation) -> Generator[Reboot, None, None]:
    """The modules are there for a kernel that does not run: what Ubuntu signs comes for its newest one."""
    other = next((kernel.release for kernel in seen.kernels if kernel.module is not None), None)
    if other is not None and seen.running is not None:
        yield Reboot(
            f"the driver's modules are there for {other}, and not for {seen.running.release}, which runs",
            "driver",
        )


def _change(spec: GpuSpec, seen: Observation, disk: str | None) -> Step | Reboot:
    """Load or replace the driver by the one on disk; None: by one that is on its way."""
    if seen.loaded is None:
        reason = "load the driver" if disk is None else f"load the driver {disk}"
        return Step(load_script(), reason=reason, action="run", hint=_KERNEL, known=disk is not None)
    wanted = disk or (
        f"one of branch {spec.pin}" if spec.pin and "." not in spec.pin else spec.pin or "the new one"
    )
    if users := strangers(seen):
        reason = f"driver {seen.loaded} cannot be replaced by {wanted} while {some(users)} uses it"
        return Reboot(reason, "driver")
    stops = containers(seen)
    told = f", and {some([f'container {each}' for each in stops])} {_verb(stops)} meanwhile" if stops else ""
    return Step(
        swap_script(stops, disk),
        reason=f"replace the driver {seen.loaded} by {wanted}{told}",
        seconds=600,
        hint=_KERNEL,
        known=disk is not None,
    )


_KERNEL = "read `journalctl -k -b -g NVRM` on the host"


def _verb(stops: Sequence[str]) -> str:
    return "stops" if len(stops) == 1 else "stop"


def strangers(seen: Observation) -> list[str]:
    """Who uses a GPU and is neither a container nor a daemon of the driver's: a virtual machine, a desktop."""
    return [
        f"{command} (process {pid})"
        for pid, command in sorted(seen.holders.items())
        if " in container " not in command and command not in _OWN
    ]


def containers(seen: Observation) -> list[str]:
    """Ids of the containers that use a GPU."""
    parts = (holder.partition(" in container ") for holder in seen.holders.values())
    return sorted({number for _, found, number in parts if found})


@operation()
def persistent(spec: GpuSpec, after: Sequence[Any] = ()) -> Generator[Step, None, None]:
    """Have the driver stay loaded while nobody uses a GPU; without one the daemon cannot run."""
    seen = host.get_fact(Gpus)
    cards = [device for device in seen.gpus if "vfio" not in (device.driver or "")]
    if not spec.persistence or not cards or (seen.loaded is None and spec.names is None):
        return
    state = seen.units.get("nvidia-persistenced.service")
    saw("unit nvidia-persistenced", **({"state": state} if state else {}))
    off = [gpu.uuid for gpu in seen.smi.gpus if gpu.persistence is False]
    touched = any([changes(operation) for operation in after])
    if state != "active" or off or touched:
        reason = "keep the driver loaded" if not off else f"turn persistence on for {some(off)}"
        yield Step(
            "systemctl daemon-reload && systemctl enable nvidia-persistenced 2>/dev/null;"
            " systemctl restart nvidia-persistenced",
            reason=reason,
            hint="read `journalctl -u nvidia-persistenced` on the host",
            known=seen.loaded is not None,
        )
