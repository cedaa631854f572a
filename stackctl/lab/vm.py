"""A virtual host as a virtual machine: a kernel, a disk with GRUB and reboots of its own, run by QEMU."""

import sys
import uuid
from pathlib import Path

from stackctl.lab import accelerator, disk, kernel, keys, login, network, overlay
from stackctl.lab.mirror import Mirror
from stackctl.lab.seed import seed
from stackctl.lab.shell import inside, run, spawn
from stackctl.lab.spec import LabHost, LabSpec

BOOT_SECONDS = 900
"""How long a host may take to answer, without help of the processor and on a busy machine."""
GREETING_SECONDS = 20
"""How long the SSH server of a host that is up may take to greet, likewise."""
MEMORY_MB = 2048
_PROCESSORS = 2
_COMPONENTS = "main contrib non-free non-free-firmware"
_SEND = 'tar -C "$1" -cf - . | "${@:2}"'
_UNPACK = '[ -e "$1" ] && exec cat >/dev/null; mkdir -p "$2" && tar -C "$2" -xf - && mv "$2" "$1"'

base_of = disk.bootable_base_of


def prepare(spec: LabSpec, host: LabHost, base: Path, mirror: Mirror) -> None:
    """Make the host a fresh disk, where it has none on this base yet."""
    home = spec.home(host.name)
    stamp = home / "seeded"
    if stamp.exists() and stamp.read_text() == f"{base}\n":
        return
    overlay.discard(home)
    upper, file_system = overlay.make(home), uuid.uuid4()
    seed(spec, host, base, upper, mirror, _COMPONENTS)
    keys.write(upper / "etc/fstab", disk.fstab(file_system))
    keys.write(upper / "boot/grub/grub.cfg", disk.grub_configuration(file_system))
    for end in network.interfaces(spec, host):
        for name, text in networkd(end).items():
            keys.write(upper / "etc/systemd/network" / name, text)
    where = f"host {host.name}"
    disk.make_disk(overlay.mounted(base, home, where=where), home / "disk.raw", file_system, where=where)
    overlay.discard(home)
    keys.write(stamp, f"{base}\n")


def networkd(end: network.End) -> dict[str, str]:
    """Files of systemd-networkd, by name, that give an interface its name, addresses and route."""
    lines = [f"Address={address}" for address in end.addresses]
    if end.gateway:
        via, metric = end.gateway
        lines += ["", "[Route]", f"Gateway={via}", f"Metric={metric}"]
    match = f"[Match]\nMACAddress={end.hardware}\n\n"
    return {
        f"10-{end.name}.link": f"{match}[Link]\nName={end.name}\n",
        f"10-{end.name}.network": "\n".join(
            [f"{match}[Network]", "LinkLocalAddressing=no", "IPv6AcceptRA=no", *lines, ""]
        ),
    }


def boot(spec: LabSpec, host: LabHost) -> None:
    """Start the host."""
    spawn(
        inside(spec.host_namespace(host.name), boot_command(spec, host, accelerator.flags())),
        log=spec.home(host.name) / "console.log",
    )


def boot_command(spec: LabSpec, host: LabHost, accelerated: tuple[str, ...]) -> list[str | Path]:
    """QEMU with the host's disk, console and cables.

    Behind a PCIe port of its own is a device that no driver takes: tests have it stand in for a GPU.
    """
    home = spec.home(host.name)
    return [
        accelerator.PROGRAM, "-name", spec.host_namespace(host.name), "-machine", "q35", *accelerated,
        "-smp", str(_PROCESSORS), "-m", str(MEMORY_MB), "-nodefaults", "-no-user-config", "-display", "none",
        "-chardev", f"file,id=console,path={home / 'console.log'},append=on", "-serial", "chardev:console",
        # the lab does not outlive a crash of this machine, so nothing need wait for its disk
        "-drive", f"file={home / 'disk.raw'},format=raw,if=none,id=disk,cache=unsafe,discard=unmap",
        "-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci",
        "-device", "pcie-root-port,id=rp1,chassis=1", "-device", "pci-testdev,bus=rp1",
        *(word for end in network.interfaces(spec, host) for word in _plugged(end)),
    ]  # fmt: skip


def place_weights(spec: LabSpec, host: LabHost, weights: Path, name: str) -> None:
    """Copy a model's files to where the host looks for its weights."""
    unpack = ["sh", "-c", _UNPACK, "sh", f"{host.weights}/{name}", f"{host.weights}/.{name}.new"]
    entered = login.entering(spec, host, terminal=False)
    send: list[str | Path] = ["bash", "-o", "pipefail", "-c", _SEND, "bash", weights, *entered, *unpack]
    run(send, where=f"host {host.name}")


def entering(spec: LabSpec, host: LabHost) -> list[str] | None:
    """Words before a command that run it inside the host, as root; None where it is down."""
    if kernel.watcher(spec.host_namespace(host.name)) is None:
        return None
    return login.entering(spec, host, terminal=sys.stdin.isatty() and sys.stdout.isatty())


def _plugged(end: network.End) -> list[str]:
    tap = f"tap,id={end.name},ifname={network.tap(end.name)},script=no,downscript=no"
    return ["-netdev", tap, "-device", f"virtio-net-pci,netdev={end.name},mac={end.hardware}"]
