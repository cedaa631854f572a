"""What nvidia-smi answered, as values. Its banner is never read: its words change between branches."""

import re

from stackctl.nvidia.observation import Smi, SmiGpu

Sections = dict[str, list[str]]
"""Lines of the observation by name of their section."""


def smi(sections: Sections) -> Smi:
    """Its exit status, and its GPUs where that is 0."""
    lines = sections.get("smi", [])
    if not lines:
        return Smi(None)
    status, fields, rest = int(lines[0].split()[1]), lines[1].split()[1].split(","), lines[2:]
    if status != 0:
        return Smi(status, message=rest[0] if rest else "")
    rows = (line.split(", ") for line in rest)
    shown = [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]
    instances, fabric = _instances(sections.get("mig", [])), _fabric(sections.get("fabric", []))
    return Smi(0, tuple(_gpu(row, instances, fabric) for row in shown))


def uuids(listing: str) -> tuple[str, ...]:
    """The instances of GPUs that `nvidia-smi -L` shows, or the GPUs where it shows none, in its order."""
    found = re.findall(r"^(GPU [0-9]+:|\s+MIG ).*\(UUID: ([^)]+)\)", listing, re.MULTILINE)
    instances = tuple(uuid for what, uuid in found if "MIG" in what)
    return instances or tuple(uuid for _, uuid in found)


def address(text: str) -> str:
    """`0000:41:00.0` of nvidia-smi's `00000000:41:00.0`."""
    domain, _, rest = text.strip().lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _gpu(
    row: dict[str, str], instances: dict[str, list[tuple[str, str]]], fabric: dict[str, list[str]]
) -> SmiGpu:
    pci, mine = address(row["pci.bus_id"]), instances.get(row["uuid"], [])
    clocks = (
        _number(row.get("clocks.applications.memory")),
        _number(row.get("clocks.applications.graphics")),
    )
    state, status = [*fabric.get(pci, []), "", ""][:2]
    return SmiGpu(
        uuid=row["uuid"],
        pci=pci,
        name=row["name"],
        persistence=_switch(row.get("persistence_mode")),
        power_limit=_number(row.get("power.limit")),
        clocks=None if None in clocks else (int(clocks[0] or 0), int(clocks[1] or 0)),
        ecc=_switch(row.get("ecc.mode.current")),
        ecc_pending=_switch(row.get("ecc.mode.pending")),
        mig=_switch(row.get("mig.mode.current")),
        mig_pending=_switch(row.get("mig.mode.pending")),
        mig_profiles=tuple(sorted(profile for profile, _ in mine)),
        mig_uuids=tuple(uuid for _, uuid in mine),
        fabric_state=_supported(state),
        fabric_status=_supported(status),
    )


def _supported(text: str) -> str | None:
    return None if text in ("", "N/A") or text.startswith("[") else text


def _switch(text: str | None) -> bool | None:
    return {"Enabled": True, "Disabled": False}.get(text or "")


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _instances(lines: list[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    gpu = ""
    for line in lines:
        if match := re.search(r"^GPU \d+:.*\(UUID: (GPU-[^)]+)\)", line):
            gpu = match[1]
        elif match := re.search(r"^MIG (\S+)\s+Device\s+\d+:\s+\(UUID: (MIG-[^)]+)\)", line):
            found.setdefault(gpu, []).append((match[1], match[2]))
    return found


def _fabric(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    pci, inside = "", False
    for line in lines:
        if match := re.search(r'<gpu id="([^"]+)"', line):
            pci = address(match[1])
        elif "fabric>" in line:
            inside = "</" not in line
        elif inside and (match := re.search(r"<(?:state|status)>([^<]*)<", line)):
            found.setdefault(pci, []).append(match[1])
    return found
