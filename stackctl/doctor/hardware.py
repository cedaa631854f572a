"""The first rungs: the cards in their slots, who drives them, and what the kernel has for them."""

from collections.abc import Iterator

from stackctl.core.finding import Finding
from stackctl.doctor.rung import Case, Rung, judged, skipped
from stackctl.nvidia.observation import Device, Kernel
from stackctl.nvidia.version import upstream


def devices(case: Case) -> Rung:
    """Each card where it is declared, and of the kind that is."""
    gpus = case.seen.gpus
    told = ", ".join(f"{gpu.address} {gpu.id}" for gpu in gpus)
    if not case.spec.cards and not gpus:
        return skipped("PCI devices", "the host has no GPU of NVIDIA's, and none is declared")
    findings = list(_misplaced(case))
    if len(gpus) < len(case.spec.cards) and not findings:
        what = f"{len(case.spec.cards)} GPUs are declared, and the bus shows {len(gpus)}"
        hint = "look at the cards' seats and power, and at the firmware's `Above 4G decoding`"
        findings.append(case.finding("PCI devices", what, hint))
    return judged("PCI devices", told, findings)


def _misplaced(case: Case) -> Iterator[Finding]:
    there = {device.address: device for device in case.seen.devices}
    for card in case.spec.cards:
        if card.pci is None:
            continue
        found = there.get(card.pci)
        if found is None:
            elsewhere = [gpu.address for gpu in case.seen.gpus if gpu.id == card.id]
            hint = "look at the card's seat and power, and at the firmware"
            if elsewhere:
                hint = f"write `pci: '{elsewhere[0]}'` if the card was moved there"
            yield case.finding("PCI devices", f"GPU `{card.name}` is not at {card.pci}", hint)
        elif card.id is not None and found.id != card.id:
            what = f"GPU `{card.name}` at {card.pci} is {found.id}, not {card.id}"
            yield case.finding("PCI devices", what, f"write `id: '{found.id}'` if the card was replaced")


def drivers(case: Case) -> Rung:
    """NVIDIA's driver at the cards for containers, a VFIO driver at those for virtual machines, nouveau at none."""
    if not case.seen.gpus:
        return skipped("bound drivers", "there is no GPU to drive")
    told = ", ".join(f"{gpu.address} {gpu.driver}" for gpu in case.seen.gpus)
    return judged("bound drivers", told, [*_unbound(case), *_nouveau(case)])


def _unbound(case: Case) -> Iterator[Finding]:
    passed = {card.pci for card in case.spec.cards if card.use == "passthrough"}
    for gpu in case.seen.gpus:
        wanted = "vfio" if gpu.address in passed else "nvidia"
        if not _bound(gpu, wanted):
            what = f"{gpu.address} is driven by {gpu.driver or 'nothing'}, not by {wanted}"
            yield case.finding("bound drivers", what, _binding(gpu, wanted))


def _bound(gpu: Device, wanted: str) -> bool:
    # Some cards have a VFIO driver of their own, such as nvgrace_gpu_vfio_pci.
    return wanted in (gpu.driver or "") if wanted == "vfio" else gpu.driver == wanted


def _binding(gpu: Device, wanted: str) -> str:
    if wanted == "vfio":
        return f"have the host bind {gpu.address} to vfio-pci before NVIDIA's driver is loaded, and reboot it"
    if gpu.driver == "nouveau":
        return "run `stackctl apply --allow-reboot`: nouveau lets go of a card at a boot only"
    if "vfio" in (gpu.driver or ""):
        return "write `use: passthrough` if it is for a virtual machine, or take its binding to VFIO away"
    return "run `stackctl apply`, which loads it"


def _nouveau(case: Case) -> Iterator[Finding]:
    if case.seen.nouveau and all(gpu.driver != "nouveau" for gpu in case.seen.gpus):
        what = "nouveau is loaded, though it drives no GPU"
        yield case.finding("bound drivers", what, "reboot the host; it is kept away from then on")
    for kernel in case.seen.kernels:
        if kernel.nouveau_in_initramfs:
            what = f"the initramfs of {kernel.release} loads nouveau before NVIDIA's driver has a chance"
            hint = "run `stackctl apply`, which keeps it out"
            yield case.finding("bound drivers", what, hint)


def modules(case: Case) -> Rung:
    """A module for every kernel that can boot, so that the next boot has a driver too."""
    seen = case.seen
    if case.spec.source == "none":
        return skipped("kernel modules", "there is to be no driver")
    if not seen.kernels:
        return skipped("kernel modules", "the host shows no kernels below /boot")
    findings = [
        case.finding("kernel modules", *_missing(kernel)) for kernel in seen.kernels if kernel.module is None
    ]
    states = {(build.kernel, build.state) for build in seen.builds if build.kernel}
    for kernel, state in sorted((str(kernel), state) for kernel, state in states):
        if state != "installed" and (kernel, "installed") not in states:
            what = f"DKMS has the module for {kernel} {state}, not installed"
            findings.append(
                case.finding("kernel modules", what, f"run `dkms autoinstall -k {kernel}` on the host")
            )
    signed = {kernel.signer for kernel in seen.kernels if kernel.signer}
    told = ", ".join(f"{kernel.module} for {kernel.release}" for kernel in seen.kernels)
    return judged(
        "kernel modules", told + (f", signed by {', '.join(sorted(signed))}" if signed else ""), findings
    )


def _missing(kernel: Kernel) -> tuple[str, str]:
    which = "the running kernel" if kernel.running else "a kernel that can boot"
    what = f"{which}, {kernel.release}, has no driver module"
    headers = "" if kernel.headers else f"install linux-headers-{kernel.release}, "
    return what, f"{headers}run `stackctl apply`, and read DKMS's make.log if it fails"


def versions(case: Case) -> Rung:
    """One version in the kernel, on disk, in the library, in the packages, and as declared."""
    seen, pin = case.seen, case.spec.pin
    disk = seen.running.module if seen.running else None
    if seen.loaded is None:
        return _not_loaded(case, disk)
    found = {"module on disk": disk, "library": seen.library, **_packages(case)}
    findings = []
    for where, version in found.items():
        if version is not None and version != seen.loaded:
            what = f"the kernel runs driver {seen.loaded}, and the {where} is {version}"
            findings.append(
                case.finding(
                    "versions", what, "run `stackctl apply`, which replaces the module or asks for a reboot"
                )
            )
    if pin is not None and seen.loaded != pin and not seen.loaded.startswith(f"{pin}."):
        what = f"the kernel runs driver {seen.loaded}, and {pin} is declared"
        findings.append(case.finding("versions", what, "run `stackctl apply`"))
    flavour = f", {seen.flavour} modules" if seen.flavour else ""
    return judged("versions", f"{seen.loaded}{flavour}", findings)


def _packages(case: Case) -> dict[str, str]:
    names = case.spec.names.driver if case.spec.names is not None else ()
    installed = ((name, case.seen.packages.get(name)) for name in names)
    return {f"package {name}": upstream(version) for name, version in installed if version is not None}


def _not_loaded(case: Case, disk: str | None) -> Rung:
    seen = case.seen
    if case.spec.source == "none":
        return skipped("versions", "there is to be no driver")
    if not seen.gpus and disk is not None:
        why = f"the module {disk} is built, and refuses to load for want of hardware: the host has no GPU of NVIDIA's"
        return skipped("versions", why)
    if not seen.gpus:
        return skipped("versions", "the host has no GPU of NVIDIA's to load a driver for")
    what = "no driver is loaded"
    hint = "run `stackctl apply`, and read `journalctl -k -b -g NVRM` on the host"
    if seen.secure_boot and seen.key_enrolled is False:
        hint = "Secure Boot refuses the module: enrol the key it is signed with, `mokutil --import /var/lib/dkms/mok.pub`"
    return judged("versions", "", [case.finding("versions", what, hint)])
