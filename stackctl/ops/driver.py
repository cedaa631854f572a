"""NVIDIA's driver on a host: refused where it cannot work, its packages installed at one version."""

import re
import shlex
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import GpuSpec
from stackctl.core.finding import Finding, FindingsError
from stackctl.nvidia.kernels import IMAGES, beside, realtime
from stackctl.nvidia.observation import Kernel, Observation
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

BUILD_SECONDS = 7200
"""How long building the modules for one kernel may take; about 3 minutes on a server, an hour where all is emulated."""

_SIGNED = "linux-modules-nvidia-"
"""Ubuntu's own builds of the modules: one package a kernel, at the kernel's version."""
_DAEMON = "nvidia-persistenced"
"""Debian builds it by itself: of the driver's branch, and not of its version."""


@operation()
def fits(spec: GpuSpec) -> Generator[Step, None, None]:
    """Refuse a host before anything is changed where its GPUs, kernel or firmware are not what the driver needs."""
    seen = host.get_fact(Gpus)
    findings = [*_cards(spec, seen), *_kernel(spec, seen), *_firmware(spec, seen), *_existing(spec, seen)]
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


def _kernel(spec: GpuSpec, seen: Observation) -> Iterator[Finding]:
    if spec.names is not None and seen.running is not None and realtime(seen.running.release):
        what = f"{seen.running.release} is a real-time kernel, for which the driver's modules are not built"
        stock = "linux-image-generic" if spec.ubuntu else "linux-image-amd64"
        yield Finding("kernel", what, f"install `{stock}`, boot it, then apply again")


def _firmware(spec: GpuSpec, seen: Observation) -> Iterator[Finding]:
    built = spec.names is not None and bool(spec.names.headers)
    if not (seen.secure_boot and built) or seen.key_enrolled:
        return
    steps = f"{_UBUNTU_KEY if spec.ubuntu else _DEBIAN_KEY}, reboot, choose `Enroll MOK` on the console, then apply again"
    if spec.ubuntu:
        steps += "; or write `source: distribution`, whose modules are signed already"
    what = "Secure Boot is on, and would refuse the modules that are built on this host"
    yield Finding("Secure Boot", what, f"{steps}; or turn Secure Boot off in the firmware")


_UBUNTU_KEY = (
    "run `update-secureboot-policy --new-key` and `mokutil --import /var/lib/shim-signed/mok/MOK.der`"
)
# Debian 12's dkms has no command for it, and the host may have no dkms yet: it signs with a key that it finds there.
_DEBIAN_KEY = (
    "make the key that DKMS signs with, `mkdir -p /var/lib/dkms && openssl req -new -x509 -nodes -days 36500"
    ' -subj "/CN=DKMS module signing key" -newkey rsa:2048 -keyout /var/lib/dkms/mok.key -outform DER'
    " -out /var/lib/dkms/mok.pub`, where there is none, run `mokutil --import /var/lib/dkms/mok.pub`"
)


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
    bare = [
        kernel for kernel in host.get_fact(Gpus).kernels if not (kernel.headers or realtime(kernel.release))
    ]
    metas = _for_kernels(spec.names.headers)
    states = _states([*metas, *map(_headers, bare)])
    if lost := _lost(bare, states):
        raise FindingsError(*lost)
    missing = [name for name in metas if states[name].version is None] + list(map(_headers, bare))
    if missing:
        yield Step(
            install_script(missing, LOCK_SECONDS),
            reason=f"install {some(missing)}",
            action="add",
            seconds=INSTALL_SECONDS,
            hint="remove kernels whose headers the sources no longer have, or boot a newer one",
        )


def _headers(kernel: Kernel) -> str:
    return f"linux-headers-{kernel.release}"


def _lost(bare: Iterable[Kernel], states: Mapping[str, PackageState]) -> list[Finding]:
    """Kernels whose headers are nowhere to be had; a host that has read no lists yet knows nothing of that."""
    if not any(state.candidate for state in states.values()):
        return []
    return [
        Finding(
            f"kernel {kernel.release}",
            "the sources have no headers for it, without which the driver's modules cannot be built",
            "install the newest kernel, boot it, then apply again"
            if kernel.running
            else f"remove it: `apt-get purge linux-image-{kernel.release}`",
        )
        for kernel in bare
        if states[_headers(kernel)] == PackageState()
    ]


@operation()
def installed(spec: GpuSpec) -> Generator[Step, None, None]:
    """Have the driver's packages at the version that is wanted, moved up or back, and those of other flavours gone."""
    if spec.names is None:
        return
    wanted = _for_kernels(spec.names.driver)
    signed = _signed(wanted, host.get_fact(Gpus))
    states = _states([*wanted, *signed, *spec.names.others])
    found = {name: state.version for name, state in states.items() if state.version is not None}
    for name in wanted:
        saw(f"package {name}", **({"version": found[name]} if name in found else {}))
    missing = [name for name in wanted if name not in found]
    missing += [name for name in signed if name not in found and states[name].candidate]
    own = {name: found[name] for name in wanted if name in found}
    moved = _moved(spec.pin, own)
    gone = [name for name in spec.names.others if name in found]
    if not (missing or moved or gone):
        return
    named = [*wanted, *missing] if moved else _beside(spec.pin, missing, own)
    reasons = [f"install {some(missing)}"] if missing else []
    reasons += [f"{name} {found[name]} becomes {version}" for name, version in moved.items()]
    reasons += [f"remove {some(gone)}"] if gone else []
    yield Step(
        _let_go([name for name in gone if states[name].held])
        + install_script(
            [*dict.fromkeys(named), *(f"{name}-" for name in gone)],
            LOCK_SECONDS,
            [name for name in wanted if states[name].held],
            downgrades=bool(moved),
        )
        + _verify(spec.pin, wanted),
        reason="; ".join(reasons),
        action="change" if moved or gone else "add",
        seconds=INSTALL_SECONDS + BUILD_SECONDS,
        hint=f"see which versions the sources have, `apt-cache policy {wanted[0]}`, and write one as `version`",
    )


def _for_kernels(names: Iterable[str]) -> tuple[str, ...]:
    """Names for the stock kernel, for those that the host really gets."""
    images = [name for name, state in _states(IMAGES).items() if state.version is not None]
    return tuple(found for name in names for found in beside(name, images))


def _signed(wanted: Iterable[str], seen: Observation) -> list[str]:
    """Ubuntu's built modules for kernels that have none: the package for kernels to come brings the newest one's."""
    stems = dict.fromkeys(name.partition("-generic")[0] for name in wanted if name.startswith(_SIGNED))
    return [
        f"{stem}-{kernel.release}"
        for stem in stems
        for kernel in seen.kernels
        if kernel.module is None and not realtime(kernel.release)
    ]


def _moved(pin: str | None, found: Mapping[str, str]) -> dict[str, str]:
    """What the packages become that are not of the version that is wanted, or not of the one that the others are."""
    of_it = [version for name, version in found.items() if _numbered(name) and fitting(pin, version)]
    newest = max(map(upstream, of_it), key=_numbers, default=None)
    wrong = {name: pin for name, version in found.items() if pin and not fitting(_pin(name, pin), version)}
    older = {
        name: newest
        for name, version in found.items()
        if newest and _numbered(name) and fitting(pin, version) and upstream(version) != newest
    }
    return {**wrong, **older}


def _beside(pin: str | None, missing: Sequence[str], rest: Mapping[str, str]) -> list[str]:
    """What is missing, at the version that the rest of the driver has: it is not to move because a part is lost."""
    own = [version for name, version in rest.items() if _numbered(name) and fitting(pin, version)]
    if not own:
        return list(missing)
    return [f"{name}={own[0].partition('-')[0]}-*" if _numbered(name) else name for name in missing]


def _numbered(name: str) -> bool:
    """Whether a package's version is the driver's."""
    return name != _DAEMON and not name.startswith(_SIGNED)


def _pin(name: str, pin: str) -> str | None:
    """What a package's version begins with; None: it says nothing of the driver's."""
    if name.startswith(_SIGNED):
        return None
    return pin.partition(".")[0] if name == _DAEMON else pin


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _let_go(names: Sequence[str]) -> str:
    """What goes is not held again: apt refuses to install what is held, and it may be wanted again one day."""
    return mark_script("unhold", names, LOCK_SECONDS).rstrip() + " || exit $?\n" if names else ""


def _verify(pin: str | None, names: Iterable[str]) -> str:
    """Packages whose names hold a branch may depend on any newer one: what came is looked at."""
    pins = {name: _pin(name, pin) for name in names} if pin else {}
    checks = [f"came {shlex.quote(name)} {shlex.quote(wanted)}\n" for name, wanted in pins.items() if wanted]
    return _CAME + "".join(checks) if checks else ""


_CAME = f"""came() {{
  v=$(dpkg-query -W -f '${{Version}}' "$1"); v=${{v#*:}}
  case $v in "$2"[.-]*) ;; *) echo "$1 came as $v, and $2 is wanted" >&2; exit {TOLD} ;; esac
}}
"""


def fitting(pin: str | None, package_version: str) -> bool:
    """Whether a package's version is of the branch, or the version, that is wanted."""
    version = upstream(package_version)
    return pin is None or version == pin or version.startswith(f"{pin}.")


def _states(names: Sequence[str]) -> dict[str, PackageState]:
    found = host.get_fact(Packages, names=sorted(set(names)))
    return {name: found.get(name, PackageState()) for name in names}
