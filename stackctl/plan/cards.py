"""How a card differs from what is declared for it."""

from collections.abc import Iterator

from stackctl.capabilities.gpu import Card
from stackctl.nvidia.observation import SmiGpu


def differences(card: Card, gpu: SmiGpu) -> Iterator[str]:
    """What has to be set, in words."""
    if card.power_limit is not None and gpu.power_limit != card.power_limit:
        yield f"power limit {watts(gpu.power_limit)} becomes {card.power_limit} W"
    if card.clocks is not None and gpu.clocks != card.clocks:
        yield f"application clocks become {card.clocks[0]},{card.clocks[1]} MHz"
    if card.ecc is not None and gpu.ecc_pending != card.ecc:
        yield f"memory correction is turned {'on' if card.ecc else 'off'}"
    if card.mig is not None and (gpu.mig_pending or False) != bool(card.mig):
        yield f"MIG is turned {'on' if card.mig else 'off'}"
    elif card.mig and gpu.mig and gpu.mig_profiles != tuple(sorted(card.mig)):
        yield f"instances become {', '.join(card.mig)}"


def resets(card: Card, gpu: SmiGpu) -> Iterator[str]:
    """What is yet to be set and counts, on all cards or on older ones, from their next reset on."""
    if card.ecc is not None and gpu.ecc_pending != card.ecc:
        yield f"memory correction {'on' if card.ecc else 'off'}"
    if card.mig is not None and (gpu.mig_pending or False) != bool(card.mig):
        yield f"MIG {'on' if card.mig else 'off'}"


def reshaped(card: Card, gpu: SmiGpu) -> bool:
    """Whether its instances have to change, which nobody may use meanwhile."""
    mode = card.mig is not None and (gpu.mig_pending or False) != bool(card.mig)
    return mode or (bool(card.mig and gpu.mig) and gpu.mig_profiles != tuple(sorted(card.mig or ())))


def pending(card: Card, gpu: SmiGpu) -> Iterator[str]:
    """What is set, and counts from the next reset of the card on."""
    if card.ecc is not None and gpu.ecc_pending == card.ecc != gpu.ecc:
        yield f"memory correction {'on' if card.ecc else 'off'}"
    if card.mig is not None and (gpu.mig_pending or False) == bool(card.mig) != (gpu.mig or False):
        yield f"MIG {'on' if card.mig else 'off'}"


def watts(limit: float | None) -> str:
    """`450`, or `unknown`."""
    return "unknown" if limit is None else f"{limit:g}"
