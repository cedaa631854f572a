"""NVIDIA's driver on a host: refused where it cannot work, installed at its version, built, loaded."""

import shlex
from collections.abc import Generator, Iterator, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import GpuSpec
from stackctl.core.finding import Finding, FindingsError
from stackctl.nvidia.observation import Observation
from stackctl.nvidia.version import upstream
from stackctl.ops.apt import INSTALL_SECONDS, LOCK_SECONDS, Packages, PackageState, install_script
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Step
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

BUILD_SECONDS = 7200
"""How long building the modules for one kernel may take; about 3 minutes on a server, an hour where all is emulated."""


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
