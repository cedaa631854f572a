"""The driver's kernel modules: kept clear of nouveau, built for every kernel, loaded, replaced, kept loaded."""

import shlex
from collections.abc import Generator, Sequence
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import GpuSpec
from stackctl.nvidia.observation import Observation
from stackctl.ops.driver import BUILD_SECONDS, fitting
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Reboot, Step, changes
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

_DAEMONS = ("nvidia-persistenced", "nvidia-fabricmanager", "nvidia-dcgm", "dcgm-exporter")
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
def built(spec: GpuSpec) -> Generator[Step, None, None]:
    """Have the modules built for every kernel that can boot, not for the running one alone."""
    if spec.names is None or not any("dkms" in name for name in spec.names.driver):
        return
    seen = host.get_fact(Gpus)
    if not seen.builds:
        return  # the package brings them, and builds them as it comes
    done = {build.kernel for build in seen.builds if build.state == "installed"}
    for kernel in seen.kernels:
        saw(f"driver module for {kernel.release}", state="installed" if kernel.release in done else "missing")
        if kernel.headers and kernel.release not in done:
            yield Step(
                f"dkms autoinstall -k {shlex.quote(kernel.release)} >&2",
                reason=f"build the modules for {kernel.release}",
                action="add",
                seconds=BUILD_SECONDS,
                hint="read the make.log that DKMS names; a kernel newer than the driver needs a newer driver",
            )


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
    coming = any([changes(operation) for operation in after]) and not (disk and fitting(spec.pin, disk))
    if not cards or (disk is None and not coming) or (not coming and _runs(spec, seen, disk)):
        return
    wanted = f"one of branch {spec.pin}" if coming or disk is None else disk
    if seen.nouveau and any(card.driver == "nouveau" for card in cards):
        yield Reboot("nouveau drives the GPUs, and lets go of them at a boot only", "driver")
    elif seen.loaded is None:
        reason = f"load the driver {disk}" if not coming else "load the driver"
        yield Step(_LOAD, reason=reason, action="run", hint=_KERNEL, known=not coming)
    elif strangers := _strangers(seen):
        yield Reboot(
            f"driver {seen.loaded} cannot be replaced by {wanted} while {some(strangers)} uses it", "driver"
        )
    else:
        stops = _stops(seen)
        told = f", and {some(stops)} {'stops' if len(stops) == 1 else 'stop'} meanwhile" if stops else ""
        reason = f"replace the driver {seen.loaded} by {wanted}{told}"
        yield Step(
            _swap(stops, None if coming else disk), reason=reason, seconds=600, hint=_KERNEL, known=not coming
        )


def _runs(spec: GpuSpec, seen: Observation, disk: str | None) -> bool:
    """Whether the kernel, the library and the module on disk are one driver, of the flavour that is wanted."""
    same = seen.loaded == disk and seen.library in (None, disk)
    return same and seen.flavour in (None, spec.modules)


_KERNEL = "read `journalctl -k -b -g NVRM` on the host"
_LOAD = "modprobe nvidia && modprobe nvidia-uvm\n"


def _strangers(seen: Observation) -> list[str]:
    """Who uses a GPU and is neither a container nor a daemon of the driver's: a virtual machine, a desktop."""
    return [
        f"{command} (process {pid})"
        for pid, command in sorted(seen.holders.items())
        if " in container " not in command and command not in _OWN
    ]


def _stops(seen: Observation) -> list[str]:
    return sorted(
        {
            f"container {held.partition(' in container ')[2]}"
            for held in seen.holders.values()
            if " in container " in held
        }
    )


def _swap(containers: Sequence[str], version: str | None) -> str:
    """Stop what uses the GPUs, swap the modules, and start all of it again.

    Unloading a module that is in use may hang for ever, so that it is left to a child with a time limit. Settings go
    with the old module, and containers get their devices from what describes the new one.
    """
    ids = " ".join(name.partition(" ")[2] for name in containers)
    return (
        _SWAP.replace("@STOP@", f"docker stop {ids} >/dev/null || exit\n" if ids else "")
        .replace("@START@", f"docker start {ids} >/dev/null || exit\n" if ids else "")
        .replace("@DAEMONS@", " ".join(_DAEMONS))
        .replace("@VERSION@", shlex.quote(version or ""))
    )


# Debian's files have other names than the modules in them, so that rmmod is asked, which goes by the latter.
_SWAP = f"""running= wanted=@VERSION@
for u in @DAEMONS@; do ! systemctl is-active -q "$u" || {{ running="$running $u"; systemctl stop "$u"; }}; done
again() {{ for u in $running; do systemctl start "$u"; done; }}
@STOP@for m in nvidia_peermem nvidia_uvm nvidia_drm nvidia_modeset nvidia; do
  [ -e /sys/module/$m ] || continue
  timeout -k 5 60 rmmod "$m" || {{
    echo "the module $m cannot be unloaded: something still uses a GPU; end it, or reboot the host and apply again" >&2
    again
    exit {TOLD}
  }}
done
modprobe nvidia && modprobe nvidia-uvm || exit
loaded=$(cat /sys/module/nvidia/version)
[ -z "$wanted" ] || [ "$loaded" = "$wanted" ] || {{ echo "driver $loaded was loaded, and $wanted is wanted" >&2; exit {TOLD}; }}
again
for u in stackctl-gpu-tuning stackctl-cdi; do ! systemctl is-enabled -q "$u" 2>/dev/null || systemctl restart "$u" || exit; done
@START@"""


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
