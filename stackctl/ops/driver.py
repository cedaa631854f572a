"""NVIDIA's driver on a host: refused where it cannot work, installed at its version, built, loaded."""

import shlex
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import GpuSpec
from stackctl.core.finding import Finding, FindingsError
from stackctl.nvidia.observation import Observation
from stackctl.nvidia.version import upstream
from stackctl.ops.apt import INSTALL_SECONDS, LOCK_SECONDS, Packages, PackageState, install_script
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Reboot, Step, changes
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

BUILD_SECONDS = 7200
"""How long building the modules for one kernel may take; about 3 minutes on a server, an hour where all is emulated."""

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
def fits(spec: GpuSpec) -> Generator[Step, None, None]:
    """Refuse a host before anything is changed where its GPUs or its firmware are not what is declared."""
    seen = host.get_fact(Gpus)
    findings = [*_cards(spec, seen), *_firmware(spec, seen), *_existing(spec, seen)]
    if findings:
        raise FindingsError(*findings)
    yield from ()


def _cards(spec: GpuSpec, seen: Observation) -> Iterator[Finding]:
    there = {device.address: device.id for device in seen.devices}
    for card in spec.cards:
        if card.pci is None:
            continue
        found = there.get(card.pci)
        where = f"GPU {card.name}"
        gpus = ", ".join(f"{gpu.address} ({gpu.id})" for gpu in seen.gpus) or "none"
        if found is None:
            hint = f"the host's GPUs are {gpus}; correct `pci`, or look at the card's seat and the firmware"
            yield Finding(where, f"there is no device of NVIDIA's at {card.pci}", hint)
        elif card.id is not None and found != card.id:
            hint = f"the host's GPUs are {gpus}; correct `pci` or `id`"
            yield Finding(where, f"{card.pci} is {found}, not {card.id}", hint)


def _firmware(spec: GpuSpec, seen: Observation) -> Iterator[Finding]:
    built = spec.names is not None and bool(spec.names.headers)
    if not (seen.secure_boot and built) or seen.key_enrolled:
        return
    key = "/var/lib/shim-signed/mok/MOK.der" if spec.ubuntu else "/var/lib/dkms/mok.pub"
    make = "update-secureboot-policy --new-key" if spec.ubuntu else "dkms generate_mok"
    steps = f"run `{make}` and `mokutil --import {key}`, reboot, choose `Enroll MOK` on the console, then apply again"
    if spec.ubuntu:
        steps += "; or write `source: distribution`, whose modules are signed already"
    what = "Secure Boot is on, and would refuse the modules that are built on this host"
    yield Finding("Secure Boot", what, f"{steps}; or turn Secure Boot off in the firmware")


def _existing(spec: GpuSpec, seen: Observation) -> Iterator[Finding]:
    wanted = [card.name for card in spec.cards if card.use == "containers"]
    if spec.source == "existing" and wanted and seen.loaded is None:
        hint = "write `driver: {source: nvidia, branch: 580}` to have it installed, or install it yourself"
        yield Finding("driver", f"no driver is loaded for the GPUs {some(wanted)}", hint)


@operation()
def headers(spec: GpuSpec) -> Generator[Step, None, None]:
    """Have headers for every kernel that can boot: DKMS packages do not ask for them, and build nothing without."""
    if spec.names is None or not spec.names.headers:
        return
    seen = host.get_fact(Gpus)
    metas = [name for name in spec.names.headers if name not in _installed(spec.names.headers)]
    missing = [f"linux-headers-{kernel.release}" for kernel in seen.kernels if not kernel.headers]
    if metas or missing:
        yield Step(
            install_script([*metas, *missing], LOCK_SECONDS),
            reason=f"install {some([*metas, *missing])}",
            action="add",
            seconds=INSTALL_SECONDS,
            hint="remove kernels whose headers the sources no longer have, or boot a newer one",
        )


@operation()
def installed(spec: GpuSpec) -> Generator[Step, None, None]:
    """Have the driver's packages at the version that is wanted, moved up or back, and those of other flavours gone."""
    if spec.names is None:
        return
    found = _installed((*spec.names.driver, *spec.names.others))
    for name in spec.names.driver:
        saw(f"package {name}", **({"version": found[name]} if name in found else {}))
    missing = [name for name in spec.names.driver if name not in found]
    moved = [name for name in spec.names.driver if name in found and not fitting(spec.pin, found[name])]
    gone = [name for name in spec.names.others if name in found]
    if not (missing or moved or gone):
        return
    reasons = [f"install {some(missing)}"] if missing else []
    reasons += [f"{name} {found[name]} becomes {spec.pin}" for name in moved]
    reasons += [f"remove {some(gone)}"] if gone else []
    held = [name for name in (*moved, *gone) if _held(name)]
    yield Step(
        install_script(
            [*spec.names.driver, *(f"{name}-" for name in gone)], LOCK_SECONDS, held, downgrades=bool(moved)
        )
        + _verify(spec),
        reason="; ".join(reasons),
        action="change" if moved or gone else "add",
        seconds=INSTALL_SECONDS + BUILD_SECONDS,
        hint=f"see which versions the sources have: `apt-cache policy {spec.names.driver[0]}`",
    )


def _verify(spec: GpuSpec) -> str:
    """Packages whose names hold a branch may depend on any newer one: what came is looked at."""
    if spec.pin is None or spec.names is None:
        return ""
    names = " ".join(map(shlex.quote, spec.names.driver))
    return (
        f"for p in {names}; do\n"
        "  v=$(dpkg-query -W -f '${Version}' \"$p\"); v=${v#*:}\n"
        f'  case $v in {spec.pin}[.-]*) ;; *) echo "$p came as $v, and {spec.pin} is wanted" >&2; exit {TOLD} ;; esac\n'
        "done\n"
    )


def fitting(pin: str | None, package_version: str) -> bool:
    """Whether a package's version is of the branch, or the version, that is wanted."""
    version = upstream(package_version)
    return pin is None or version == pin or version.startswith(f"{pin}.")


def _installed(names: Sequence[str]) -> dict[str, str]:
    states = host.get_fact(Packages, names=sorted(names))
    return {name: state.version for name, state in states.items() if state.version is not None}


def _held(name: str) -> bool:
    return bool(host.get_fact(Packages, names=[name]).get(name, PackageState()).held)


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
def loaded(spec: GpuSpec) -> Generator[Step | Reboot, None, None]:
    """Have the kernel run the driver that is installed; where the old one cannot be replaced, ask for a reboot."""
    if spec.source in ("none", "existing"):
        return
    seen = host.get_fact(Gpus)
    saw("driver", **{"loaded": seen.loaded} if seen.loaded else {})
    cards = [device for device in seen.gpus if device.driver != "vfio-pci"]
    disk = seen.running.module if seen.running else None
    if not cards or disk is None or (seen.loaded == disk and seen.library in (None, disk)):
        return
    if seen.nouveau and any(card.driver == "nouveau" for card in cards):
        yield Reboot("nouveau drives the GPUs, and lets go of them at a boot only", "driver")
    elif seen.loaded is None:
        yield Step(_LOAD, reason=f"load the driver {disk}", action="run", hint=_KERNEL)
    elif strangers := _strangers(seen):
        yield Reboot(
            f"driver {seen.loaded} cannot be replaced by {disk} while {some(strangers)} uses it", "driver"
        )
    else:
        stops = _stops(seen)
        told = f", and {some(stops)} {'stops' if len(stops) == 1 else 'stop'} for it" if stops else ""
        yield Step(
            _swap(stops),
            reason=f"replace the driver {seen.loaded} by {disk}{told}",
            seconds=600,
            hint=_KERNEL,
        )


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


def _swap(containers: Sequence[str]) -> str:
    """Stop what uses the GPUs, swap the modules, start the daemons again; the containers come with the models.

    Unloading a module that is in use may hang for ever, so that it is left to a child with a time limit.
    """
    ids = " ".join(name.partition(" ")[2] for name in containers)
    stop = f"docker stop -t 60 {ids} >/dev/null\n" if ids else ""
    return _SWAP.replace("@STOP@", stop).replace("@DAEMONS@", " ".join(_DAEMONS))


_SWAP = f"""{{
running=
for u in @DAEMONS@; do ! systemctl is-active -q "$u" || {{ running="$running $u"; systemctl stop "$u"; }}; done
@STOP@for m in nvidia_peermem nvidia_uvm nvidia_drm nvidia_modeset nvidia; do
  [ -e /sys/module/$m ] || continue
  timeout -k 5 60 modprobe -r "$m" 2>&1 && [ ! -e /sys/module/$m ] || {{
    echo "the module $m cannot be unloaded: something still uses a GPU; end it, or reboot the host and apply again" >&2
    for u in $running; do systemctl start "$u"; done
    exit {TOLD}
  }}
done
modprobe nvidia && modprobe nvidia-uvm || exit
for u in $running; do systemctl start "$u"; done
}}
"""


@operation()
def persistent(spec: GpuSpec, after: Sequence[Any] = ()) -> Generator[Step, None, None]:
    """Have the driver stay loaded while nobody uses a GPU; without one the daemon cannot run."""
    seen = host.get_fact(Gpus)
    if not spec.persistence or seen.loaded is None or not seen.gpus:
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
        )
