"""How a host's GPUs are observed: one shell script that reads, and its output as an `Observation`."""

import re
import shlex
from functools import cache
from importlib.resources import files
from typing import Literal

from stackctl.nvidia.observation import Build, Cdi, Device, Kernel, Observation
from stackctl.nvidia.smi import Sections, smi

DKMS = re.compile(r"^([^/,:\s]+)[/,]\s*([^,:\s]+)(?:,\s*([^,:]+),\s*([^,:]+))?:\s*(\w+)")


@cache
def _text() -> str:
    return files("stackctl.nvidia").joinpath("observe.sh").read_text(encoding="utf-8")


def script(root: str = "") -> str:
    """A POSIX script that prints all there is to see below `root`, changes nothing and exits 0."""
    return f"(\nR={shlex.quote(root)}\n{_text()})"  # its `exit` must not end the shell that others go on in


def read(text: str) -> Observation:
    """What the script printed; sections that are missing count as empty."""
    sections = _sections(text)
    loaded = _first(sections, "loaded")
    return Observation(
        devices=tuple(_device(line) for line in sections.get("devices", [])),
        kernels=tuple(_kernel(line) for line in sections.get("kernels", [])),
        builds=_builds(sections.get("dkms", [])),
        loaded=loaded,
        flavour=_flavour(_first(sections, "procversion")) if loaded else None,
        nouveau=_first(sections, "nouveau") is not None,
        library=_library(_first(sections, "library")),
        packages=(packages := _packages(sections.get("packages", []))),
        held=frozenset(sections.get("held", [])) & packages.keys(),
        secure_boot=_secure_boot(sections.get("secureboot", [])),
        key_enrolled=_enrolled(sections.get("key", [])),
        holders=dict(_pair(line) for line in sections.get("holders", [])),
        smi=smi(sections),
        cdi=_cdi(sections),
        switches=bool(sections.get("switches")),
        nvlink5=any(line.endswith("/vpd") for line in sections.get("switches", [])),
        units=_units(sections.get("units", [])),
        xids=tuple(sections.get("xids", [])),
        traces=tuple(sections.get("traces", [])),
    )


def _sections(text: str) -> Sections:
    sections: Sections = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("@@ "):
            current = sections.setdefault(line[3:].strip(), [])
        elif line.strip():
            current.append(line.strip())
    return sections


def _first(sections: Sections, name: str) -> str | None:
    return next(iter(sections.get(name, [])), None)


def _pair(line: str) -> tuple[str, str]:
    left, _, right = line.partition("|")
    return left, right


def _device(line: str) -> Device:
    address, device, kind, driver = line.split("|")
    return Device(address, f"10de:{device.removeprefix('0x')}", kind.removeprefix("0x")[:4], driver or None)


def _kernel(line: str) -> Kernel:
    release, running, headers, version, early, signer = line.split("|", 5)
    return Kernel(
        release, running == "yes", headers == "yes", version or None, signer or None, early == "yes"
    )


def _builds(lines: list[str]) -> tuple[Build, ...]:
    found = (DKMS.match(line) for line in lines)
    return tuple(
        Build(module, version, kernel or None, state)
        for module, version, kernel, _, state in (match.groups() for match in found if match)
        if module.startswith("nvidia")
    )


def _flavour(line: str | None) -> Literal["open", "proprietary"] | None:
    if line is None:
        return None
    return "open" if "Open Kernel Module" in line else "proprietary"


def _library(path: str | None) -> str | None:
    match = re.search(r"\.so\.(\d+\.[\d.]*\d)$", path or "")
    return match[1] if match else None


def _packages(lines: list[str]) -> dict[str, str]:
    rows = (line.split("|") for line in lines)
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def _secure_boot(lines: list[str]) -> bool | None:
    said = "\n".join(lines).lower()
    if "secureboot enabled" in said or "efi 1" in said:
        return True
    return False if "secureboot disabled" in said or "efi 0" in said else None


def _enrolled(lines: list[str]) -> bool | None:
    said = "\n".join(lines).lower()
    if "already enrolled" in said:
        return True
    return False if "not enrolled" in said else None


def _cdi(sections: Sections) -> Cdi:
    rows = [line.partition("|")[::2] for line in sections.get("cdi", [])]
    gone = [_pair(rest) for word, rest in rows if word == "missing"]
    docker = _first(sections, "docker")
    return Cdi(
        specs={
            path: version or None for path, version in (_pair(rest) for word, rest in rows if word == "spec")
        },
        devices=tuple(sorted({rest for word, rest in rows if word == "device"})),
        missing={path: tuple(name for of, name in gone if of == path) for path, _ in gone},
        docker=None if docker is None else docker.startswith("[") and docker != "[]",
    )


def _units(lines: list[str]) -> dict[str, str]:
    units: dict[str, str] = {}
    shown: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key in shown:
            shown = {}
        shown[key] = value
        if len(shown) == 3 and shown["LoadState"] != "not-found":
            units[shown["Id"]] = shown["ActiveState"]
    return units
