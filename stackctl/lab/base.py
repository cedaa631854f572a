"""The file system of a fresh Debian server, made once and shared by all hosts as their lowest layer."""

import os
from functools import partial
from pathlib import Path

from stackctl.lab import cache
from stackctl.lab.mirror import KEYRING, Mirror
from stackctl.lab.shell import confined, run

_SERVER = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "curl", "ca-certificates", "iproute2",
    "iputils-ping", "procps", "less", "kmod", "netbase",
)  # fmt: skip
"""What a fresh Debian server has and a host needs to be reached; no Python on purpose."""

_CLEAN = (
    "rm -f $1/etc/ssh/ssh_host_* $1/etc/hostname $1/etc/resolv.conf",
    ": > $1/etc/machine-id",
    # the unattended runs would take apt's lock at a moment of their own
    "systemctl --root=$1 mask apt-daily.timer apt-daily-upgrade.timer",
    # nothing to do in a container, and each costs boot time
    "systemctl --root=$1 mask systemd-firstboot.service console-getty.service getty.target e2scrub_all.timer",
    "chroot $1 useradd --create-home --shell /bin/bash ops",
    "chroot $1 useradd --create-home --shell /bin/bash opspw",
    "printf 'ops ALL=(ALL:ALL) NOPASSWD: ALL\\nopspw ALL=(ALL:ALL) ALL\\n' > $1/etc/sudoers.d/lab",
    "chmod 440 $1/etc/sudoers.d/lab",
)

SLIM = ("path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/doc/*")
"""What dpkg leaves out of images; nobody reads it there."""


def base_of(
    suite: str, mirror: Mirror, more: tuple[str, ...] = (), finish: tuple[str, ...] = (), kind: str = "base"
) -> Path:
    """The base of a Debian suite with `more` packages, from the cache or made now.

    `finish` are commands that complete it, in which `$1` is its root; `kind` is its place in the cache.
    """
    packages, hooks = (*_SERVER, *more), (*_CLEAN, *finish)
    key = cache.key_of(["base", suite, packages, hooks, mirror.archive])
    make = partial(_make_base, suite, packages, hooks, mirror)
    return cache.made(kind, f"{suite}-{key}", make) / "root"


def _make_base(
    suite: str, packages: tuple[str, ...], hooks: tuple[str, ...], mirror: Mirror, place: Path
) -> None:
    options = [f"--customize-hook={hook}" for hook in hooks]
    bootstrap(place, suite, packages, mirror, [*options, *(f"--dpkgopt={rule}" for rule in SLIM)])


def bootstrap(
    place: Path, suite: str, packages: tuple[str, ...], mirror: Mirror, options: list[str] | None = None
) -> Path:
    """A minimal Debian with some packages, in `place/root`."""
    root, scratch = place / "root", place / "scratch"
    scratch.mkdir()
    proxy = [f'--aptopt=Acquire::http::Proxy "{mirror.proxy}"'] if mirror.proxy else []
    argv: list[str | Path] = [
        "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
        f"--include={','.join(packages)}", f"--keyring={KEYRING}", '--aptopt=Acquire::Languages "none"',
        *proxy, *(options or []),
        suite, root, *mirror.sources(suite),
    ]  # fmt: skip
    run(
        confined(argv),
        where=f"making a Debian {suite}",
        env={
            "TMPDIR": str(scratch),
            "SOURCE_DATE_EPOCH": "0",
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        },
        hint="see whether `apt-get update` works on this machine",
    )
    scratch.rmdir()
    return root
