"""When a host's certificate has to be made anew, and why. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from stackctl.mesh.certificate import Certificate
from stackctl.mesh.nebula import NebulaSpec

_DAY = 86_400
_SLACK = 1
"""Seconds by which a certificate ends before the authority that signed it for as long as it can."""


def first(spec: NebulaSpec, now: int) -> str:
    """What a host without a certificate gets."""
    span = f"{spec.days} days" if days(spec, now) else f"as long as `{spec.signer.name}`"
    return f"sign it for {spec.address}, {_groups(spec.groups)}, for {span}"


def days(spec: NebulaSpec, now: int) -> int | None:
    """How long a certificate is signed for; None where the authority itself ends before, as long as that."""
    return spec.days if now + (spec.days + 1) * _DAY < spec.signer.ends else None


def reasons(
    spec: NebulaSpec, found: Certificate, key: str | None, now: int, *, genuine: bool
) -> Iterator[str]:
    """All that is not, or will soon not be, as it is to be; `key` is the host's public one, `now` by its clock."""
    if found.issuer != spec.signer.fingerprint:
        yield f"another authority signed it, `{spec.signer.name}` signs it anew"
        return
    yield from _words(spec, found)
    if key != found.public_key:
        yield f"it is for another key, key {spec.key} is the host's"
    late = _late(spec, found, now)
    if late is not None:
        yield late
    elif not genuine and found.begins <= now:  # one that begins later is not found genuine either
        yield f"`{spec.signer.name}` did not sign what it says"


def _words(spec: NebulaSpec, found: Certificate) -> Iterator[str]:
    address = ", ".join(map(str, found.addresses))
    groups = tuple(sorted(found.groups))
    subnets = tuple(str(network) for network in sorted(found.subnets))
    if found.name != spec.host:
        yield f"name {found.name} becomes {spec.host}"
    if address != spec.address:
        yield f"address {address} becomes {spec.address}"
    if groups != spec.groups:
        yield f"{_groups(groups)} becomes {_groups(spec.groups)}"
    if subnets != spec.subnets:
        yield f"subnets {_listed(subnets)} become {_listed(spec.subnets)}"


def _late(spec: NebulaSpec, found: Certificate, now: int) -> str | None:
    lasts = found.ends - found.begins
    if found.ends <= now:
        return f"it ended on {day(found.ends)}"
    if found.renewal <= now and found.ends < spec.signer.ends - _SLACK:
        return f"renew it: it ends on {day(found.ends)}"
    if lasts > spec.days * _DAY:
        return f"it lasts {lasts // _DAY} days, {spec.days} are wanted"
    return None


def _groups(groups: Sequence[str]) -> str:
    return f"groups {', '.join(groups)}" if groups else "no groups"


def _listed(networks: Sequence[str]) -> str:
    return ", ".join(networks) or "none"


def day(seconds: int) -> str:
    """The day of a moment, `2026-11-24`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
