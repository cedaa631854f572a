"""GPU families: what a card is by its PCI id, and what that asks of the driver."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from stackctl.nvidia.tables import table
from stackctl.nvidia.version import Version, parsed

Flavour = Literal["open", "proprietary"]
Market = Literal["data centre", "GeForce"]


@dataclass(frozen=True)
class Family:
    """What cards of one architecture have in common."""

    name: str
    """`Ampere`."""
    capability: Version
    """Compute capability, (8, 6)."""
    modules: tuple[Flavour, ...]
    """Flavours of the kernel modules that run it; open first where both do."""
    first: int | None
    """Oldest driver branch that knows it; None: older than any in use."""
    last: int | None
    """Newest driver branch that knows it; None: the newest there is."""
    first_cuda: Version
    """Oldest CUDA that compiles for it."""
    last_cuda: Version | None
    """Newest CUDA that does; None: the newest there is."""
    mig: bool
    """Whether it can be cut into instances."""
    market: Market | None = None
    """Whom the card was made for; None: the id does not tell."""


def family(pci_id: str) -> Family | None:
    """The family of `10de:2684`; None where the table does not have it."""
    device = int(pci_id.rpartition(":")[2], 16)
    found = next((known for first, last, known in _ranges() if first <= device <= last), None)
    if found is None:
        return None
    return replace(found, market=found.market or _market(device), mig=found.mig or device in _ids("mig"))


def _market(device: int) -> Market | None:
    if device in _ids("data_centre"):
        return "data centre"
    # In the id list, professional cards have the last quarter of each 64 ids, and GeForce those below.
    return "GeForce" if device % 0x40 < 0x30 else None


@cache
def _ids(name: str) -> frozenset[int]:
    return frozenset(int(str(text), 16) for text in table("families")[name])


@cache
def _ranges() -> tuple[tuple[int, int, Family], ...]:
    return tuple(
        (int(first, 16), int(last, 16), _family(entry))
        for entry in table("families")["families"]
        for first, _, last in (text.partition("-") for text in entry["ids"])
    )


def _family(entry: dict[str, Any]) -> Family:
    cuda = [parsed(text) for text in entry["cuda"]]
    flavours: dict[str, tuple[Flavour, ...]] = {
        "open": ("open",),
        "proprietary": ("proprietary",),
        "either": ("open", "proprietary"),
    }
    return Family(
        name=entry["name"],
        capability=parsed(entry["capability"]),
        modules=flavours[entry["modules"]],
        first=entry.get("first"),
        last=entry.get("last"),
        first_cuda=cuda[0],
        last_cuda=cuda[1] if len(cuda) > 1 else None,
        mig=entry.get("mig", False),
        market="data centre" if entry.get("data_centre") else None,
    )
