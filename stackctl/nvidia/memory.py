"""How much memory a card has, by its PCI id or as a person writes it."""

from functools import cache

from stackctl.nvidia.tables import table

_GIB = 2**30
_UNITS = {"M": 2**20, "G": _GIB}
_OWN = _GIB // 2
"""What the driver keeps of each card before CUDA sees it: 0.3 to 0.7 GiB between `nvidia-smi` and `cuMemGetInfo`."""


def memory(pci_id: str, *, ecc: bool | None = None) -> int | None:
    """Bytes that CUDA has of `10de:2684`; None where the table does not have it.

    `ecc` says whether memory errors are corrected; None: as the card comes.
    """
    found = _cards().get(int(pci_id.rpartition(":")[2], 16))
    if found is None:
        return None
    size, corrected = found
    taken = size // 16 if corrected is not None and (corrected if ecc is None else ecc) else 0
    return size - taken - _OWN


def declared(text: str) -> int:
    """Bytes that CUDA has of a card with the memory `24G` or `24564M`, as `nvidia-smi` prints it."""
    return int(text[:-1]) * _UNITS[text[-1]] - _OWN


@cache
def _cards() -> dict[int, tuple[int, bool | None]]:
    return {
        int(str(text), 16): (int(entry["gib"]) * _GIB, entry.get("ecc"))
        for entry in table("memory")["cards"]
        for text in entry["ids"]
    }
