"""What turns a Debian server into one that boots by itself: a kernel, GRUB, and the disk they are on."""

import struct
import uuid
from pathlib import Path

from stackctl.lab import cache
from stackctl.lab.base import base_of
from stackctl.lab.mirror import Mirror
from stackctl.lab.shell import confined, run

PACKAGES = (
    "linux-image-amd64", "grub-pc", "initramfs-tools", "e2fsprogs", "zstd", "udev", "systemd-timesyncd", "pciutils",
)  # fmt: skip
"""What a server on hardware has beyond one in a container."""

_SECTOR = 512
_FIRST = 2048
"""Where the partition begins; GRUB's core image is in the sectors before it."""
_SIZE = 12 * 1024**3
"""Bytes of the disk, of which what is never written takes no room here."""
_LINUX, _BOOTS = 0x83, 0x80

_GRUB = """\
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=ttyS0"
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_DISABLE_OS_PROBER=true
"""

_FINISH = (
    # only what this disk needs to be found: an initramfs of everything takes minutes to write and to unpack
    "printf 'virtio_pci\\nvirtio_blk\\next4\\n' >> $1/etc/initramfs-tools/modules",
    "echo MODULES=list > $1/etc/initramfs-tools/conf.d/lab",
    "chroot $1 update-initramfs -u -k all",
    f"cat > $1/etc/default/grub <<'END'\n{_GRUB}END\n",
    "echo grub-pc grub-pc/install_devices multiselect /dev/vda | chroot $1 debconf-set-selections",
    "mkdir -p $1/boot/grub",
    "cp -r $1/usr/lib/grub/i386-pc $1/boot/grub/",
    (
        "chroot $1 grub-mkimage --format=i386-pc --prefix='(hd0,msdos1)/boot/grub' "
        "--output=/boot/grub/i386-pc/core.img biosdisk part_msdos ext2"
    ),
    "systemctl --root=$1 enable systemd-networkd.service",
)


def bootable_base_of(suite: str, mirror: Mirror) -> Path:
    """The base of a Debian suite with a kernel and GRUB, from the cache or made now."""
    return base_of(suite, mirror, PACKAGES, _FINISH, kind="vm-base")


def grub_configuration(file_system: uuid.UUID) -> str:
    """What GRUB reads at the first boot; the host's own `update-grub` writes it anew."""
    return (
        "serial --unit=0 --speed=115200\nterminal_output serial\nset timeout=0\n"
        "menuentry 'Debian' {\n"
        f"  search --no-floppy --fs-uuid --set=root {file_system}\n"
        f"  linux /vmlinuz root=UUID={file_system} ro console=ttyS0 quiet\n"
        "  initrd /initrd.img\n}\n"
    )


def fstab(file_system: uuid.UUID) -> str:
    """The host's only file system."""
    return f"UUID={file_system} / ext4 errors=remount-ro 0 1\n"


def boot_sectors(boot: bytes, core: bytes, sectors: int) -> bytes:
    """The disk before its one partition: GRUB, as `grub-install` puts it there, and the partition table."""
    room = (_FIRST - 1) * _SECTOR
    if len(boot) != _SECTOR or len(core) > room:
        raise ValueError(f"GRUB's images have {len(boot)} and {len(core)} bytes")
    # the addresses by cylinder and head are those that say: use the sectors' numbers
    far = b"\xfe\xff\xff"
    partition = struct.pack("<B3sB3sII", _BOOTS, far, _LINUX, far, _FIRST, sectors - _FIRST)
    table = partition + bytes(48) + b"\x55\xaa"
    return boot[:440] + b"stkl" + bytes(2) + table + core.ljust(room, b"\0")


def make_disk(root: Path, disk: Path, file_system: uuid.UUID, *, where: str) -> None:
    """A disk of its own with a copy of `root`, which boots from it; there whole or not at all."""
    fresh = disk.with_name(f".{disk.name}.new")
    cache.remove_tree(fresh)
    fresh.unlink(missing_ok=True)
    images = root / "boot/grub/i386-pc"
    head = boot_sectors(
        (images / "boot.img").read_bytes(), (images / "core.img").read_bytes(), _SIZE // _SECTOR
    )
    with fresh.open("wb") as raw:
        raw.write(head)
        raw.truncate(_SIZE)
    options: list[str | Path] = ["-q", "-F", "-U", str(file_system), "-d", root, "-E", f"offset={len(head)}"]
    run(confined(["mkfs.ext4", *options, fresh, f"{(_SIZE - len(head)) // 1024}k"]), where=where)
    fresh.rename(disk)
