"""The sections of what a host tells of its GPUs, each read by itself."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from stackctl.nvidia.observation import Build, Cdi, Device, Kernel


def first(rows: Sequence[str]) -> str | None:
    """The first line, if there is one."""
    return rows[0].strip() if rows and rows[0].strip() else None


def devices(rows: Sequence[str]) -> tuple[Device, ...]:
    """`0000:41:00.0 0x2684 0x030000 nvidia` a line; `-`: no driver."""
    found = []
    for row in rows:
        address, number, kind, driver = row.split(" ")
        id_, class_ = number.removeprefix("0x"), kind.removeprefix("0x")[:4]
        found.append(Device(address, f"10de:{id_}", class_, None if driver == "-" else driver))
    return tuple(found)


def kernels(rows: Sequence[str]) -> tuple[Kernel, ...]:
    """`RELEASE|RUNNING RELEASE|yes|VERSION|SIGNER|no` a line: headers, the module, nouveau in the initramfs."""
    found = []
    for row in rows:
        release, running, headers, version, signer, nouveau = row.split("|")
        found.append(
            Kernel(
                release,
                release == running,
                headers == "yes",
                None if version == "-" else version,
                None if signer == "-" else signer,
                nouveau == "yes",
            )
        )
    return tuple(found)


_BUILD = re.compile(
    r"(?P<module>[^/,\s]+)[/,]\s*(?P<version>[^,:\s]+)(,\s*(?P<kernel>[^,\s]+),\s*[^:\s]+)?:\s*(?P<state>\w+)"
)


def builds(rows: Sequence[str]) -> tuple[Build, ...]:
    """DKMS's status, in its present form and in that of version 2 (`nvidia, 535.54, 6.1.0, x86_64: installed`)."""
    found = [match for match in map(_BUILD.match, rows) if match]
    return tuple(Build(match["module"], match["version"], match["kernel"], match["state"]) for match in found)


def flavour(rows: Sequence[str]) -> Literal["open", "proprietary"] | None:
    """From the line that the module says of itself."""
    line = first(rows)
    if line is None:
        return None
    return "open" if "Open Kernel Module" in line else "proprietary"


def library(rows: Sequence[str]) -> str | None:
    """The version at the end of `/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05`."""
    line = first(rows)
    match = re.search(r"[.]so[.]([0-9]+[.][0-9.]+)$", line or "")
    return match[1] if match else None


def packages(rows: Sequence[str]) -> dict[str, Any]:
    """Installed packages with their versions, and those of them that are held."""
    installed = [row.split(" ") for row in rows if " installed " in row]
    return {
        "packages": {name: version for name, _, _, version in installed},
        "held": frozenset(name for name, want, _, _ in installed if want == "hold"),
    }


def secure_boot(rows: Sequence[str]) -> bool | None:
    """From mokutil's words, or the firmware's own variable."""
    text = "\n".join(rows)
    if "SecureBoot enabled" in text or "efivar 1" in text:
        return True
    return False if "SecureBoot disabled" in text or "efivar 0" in text else None


def key_enrolled(rows: Sequence[str]) -> bool | None:
    """Whether one of the keys that modules are signed with is trusted; None: there is none."""
    text = "\n".join(rows)
    if "is already enrolled" in text:
        return True
    return False if "is not enrolled" in text else None


def pairs(rows: Sequence[str]) -> dict[str, str]:
    """A name and a word a line."""
    return dict(row.split(" ", 1) for row in rows if " " in row)


def cdi(rows: Sequence[str]) -> Cdi:
    """`spec VERSION PATH`, then its `device` and `missing` lines; `docker ["/etc/cdi",…]` last."""
    specs: dict[str, str | None] = {}
    names: set[str] = set()
    missing: list[str] = []
    docker: bool | None = None
    for row in rows:
        word, _, rest = row.partition(" ")
        if word == "spec":
            version, _, path = rest.partition(" ")
            specs[path] = version or None
        elif word == "device":
            names.add(f"nvidia.com/gpu={rest}")
        elif word == "missing":
            missing.append(rest)
        elif word == "docker":
            docker = rest.startswith("[") and rest != "[]"
    return Cdi(specs, tuple(sorted(names)), tuple(missing), docker)
