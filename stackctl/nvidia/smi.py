"""What nvidia-smi says, as far as it can be trusted: queries and lists, never the banner."""

import re
from collections.abc import Iterable, Iterator

from stackctl.nvidia.observation import Smi, SmiGpu

_MIG = re.compile(r"\s+MIG (?P<profile>\S+)\s+Device\s+[0-9]+: \(UUID: (?P<uuid>MIG-[^)]+)\)")
_CARD = re.compile(r"GPU [0-9]+: .*\(UUID: (?P<uuid>GPU-[^)]+)\)")


def read(rows: Iterable[str]) -> Smi:
    """`status N`, then `gpu`, `clocks`, `fabric` and `list` lines, or what it `said` when it failed."""
    told: dict[str, list[str]] = {}
    for row in rows:
        word, _, rest = row.partition(" ")
        told.setdefault(word, []).append(rest)
    if "status" not in told:
        return Smi(None)
    status = int(told["status"][0])
    gpus = [_gpu(row) for row in told.get("gpu", ())]
    clocks, fabric = (_by_uuid(told.get(word, ())) for word in ("clocks", "fabric"))
    instances = dict(_instances(told.get("list", ())))
    return Smi(
        status,
        tuple(
            _with(gpu, clocks.get(gpu.uuid), fabric.get(gpu.uuid), instances.get(gpu.uuid)) for gpu in gpus
        ),
        " ".join(line.strip() for line in told.get("said", ()) if line.strip()),
    )


def _gpu(row: str) -> SmiGpu:
    uuid, bus, name, persistence, power, ecc, ecc_pending, mig, mig_pending = _fields(row, 9)
    return SmiGpu(
        uuid or "",
        _address(bus or ""),
        name or "",
        _switch(persistence),
        None if power is None else float(power),
        None,
        _switch(ecc),
        _switch(ecc_pending),
        _switch(mig),
        _switch(mig_pending),
    )


def _with(
    gpu: SmiGpu,
    clocks: list[str | None] | None,
    fabric: list[str | None] | None,
    instances: tuple[list[str], list[str]] | None,
) -> SmiGpu:
    memory, graphics = (clocks or [None, None])[:2]
    state, status = (fabric or [None, None])[:2]
    profiles, uuids = instances or ([], [])
    values = dict(vars(gpu))
    values |= {
        "clocks": (int(memory), int(graphics)) if memory and graphics else None,
        "fabric_state": state,
        "fabric_status": status,
        "mig_profiles": tuple(sorted(profiles)),
        "mig_uuids": tuple(uuids),
    }
    return SmiGpu(**values)


def _by_uuid(rows: Iterable[str]) -> dict[str, list[str | None]]:
    found = (_fields(row, 3) for row in rows)
    return {uuid: rest for uuid, *rest in found if uuid}


def _fields(row: str, count: int) -> list[str | None]:
    """Fields of a line of CSV; `[N/A]` and its like, and an answer that is no answer, are None."""
    values = [value.strip() for value in row.split(",")]
    values += [""] * (count - len(values))
    return [
        None if not value or value.startswith("[") or value == "N/A" else value for value in values[:count]
    ]


def _switch(value: str | None) -> bool | None:
    return {"Enabled": True, "Disabled": False}.get(value or "")


def _address(bus: str) -> str:
    """`00000000:41:00.0` as the kernel writes it."""
    domain, _, rest = bus.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _instances(rows: Iterable[str]) -> Iterator[tuple[str, tuple[list[str], list[str]]]]:
    """MIG instances by their card's UUID; they stand below their card."""
    found: tuple[list[str], list[str]] = ([], [])
    for row in rows:
        if match := _CARD.match(row):
            found = ([], [])
            yield match["uuid"], found
        elif match := _MIG.match(row):
            found[0].append(match["profile"])
            found[1].append(match["uuid"])
