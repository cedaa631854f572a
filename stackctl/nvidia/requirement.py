"""What an image demands of a host in NVIDIA_REQUIRE_CUDA, which is looked at before its first process starts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne

from stackctl.nvidia.cuda import is_newest, supported
from stackctl.nvidia.families import Family
from stackctl.nvidia.version import Version, parsed

_CONDITION = r"(?:(?:cuda|driver|arch)(?:[<>]=?|!?=)[0-9]+(?:\.[0-9]+){0,2}|brand!?=[a-z]+)"
PATTERN = rf"{_CONDITION}(?:[ ,]{_CONDITION})*"
"""A demand that `met` can judge."""
_COMPARISONS: dict[str, Callable[[Version, Version], bool]] = {
    "=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
_BRANDS = {
    "data centre": frozenset({"tesla", "nvidia"}),
    "GeForce": frozenset({"geforce", "geforcertx", "titan", "titanrtx"}),
}


@dataclass(frozen=True)
class Offer:
    """What a host has to meet a demand with."""

    driver: Version | None
    """Exact version, or the branch alone; None: nobody knows."""
    family: Family | None
    """Of the GPU; None: nobody knows."""


def met(requirement: str, offer: Offer) -> bool | None:
    """Whether a host meets one of the alternatives, all conditions of it; None where that cannot be told."""
    answers = [_all(alternative.split(","), offer) for alternative in requirement.split()]
    return True if True in answers else None if None in answers else False


def _all(conditions: list[str], offer: Offer) -> bool | None:
    answers = [_condition(condition, offer) for condition in conditions]
    return False if False in answers else None if None in answers else True


def _condition(condition: str, offer: Offer) -> bool | None:
    subject, sign, wanted = (part or "" for part in re.split(r"([<>]=?|!?=)", condition, maxsplit=1))
    if subject == "brand":
        return _brand(sign, wanted, offer.family)
    if subject == "driver":
        return _driver(sign, parsed(wanted), offer.driver)
    if subject == "arch":
        return None if offer.family is None else _compared(offer.family.capability, sign, parsed(wanted))
    return _cuda(sign, parsed(wanted), offer.driver)


def _brand(sign: str, wanted: str, family: Family | None) -> bool | None:
    possible = _BRANDS.get(family.market) if family is not None and family.market is not None else None
    if possible is None:
        return None
    if wanted in possible:
        return None
    return sign == "!="


def _driver(sign: str, wanted: Version, driver: Version | None) -> bool | None:
    """Of a branch alone only what holds for its first and its last version is certain."""
    if driver is None:
        return None
    if len(driver) > 1:
        return _compared(driver, sign, wanted)
    first, last = _compared(driver, sign, wanted), _compared((*driver, 999, 99), sign, wanted)
    within = sign in ("=", "!=") and wanted[0] == driver[0]
    return first if first == last and not within else None


def _cuda(sign: str, wanted: Version, driver: Version | None) -> bool | None:
    offered = None if driver is None else supported(driver)
    if driver is None or offered is None:
        return None
    answer = _compared(offered, sign, wanted)
    # A driver newer than the table knows as much as its newest, and nobody knows how much more.
    certain = not is_newest(driver) or (answer and sign.startswith(">"))
    return answer if certain else None


def _compared(found: Version, sign: str, wanted: Version) -> bool:
    return _COMPARISONS[sign](_padded(found), _padded(wanted))


def _padded(version: Version) -> Version:
    return (*version, 0, 0, 0)[:3]
