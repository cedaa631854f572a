"""What a change of a host's uplinks means for its traffic."""

from collections.abc import Iterable, Iterator, Mapping

from stackctl.capabilities.wan import UplinkSpec, WanSpec
from stackctl.plan.delta import delta, shown
from stackctl.plan.difference import Difference, settings

_TOLD = {"uplinks", "sysctl", "before", "metrics_of_dhcp", "next_hops"}
"""Fields that are told in other words, or by the files that they end in."""
_ANEW = "connections that go by it have to begin anew"
_GONE = "the agent stops, and its rules, routes and files go: the system's own default route holds"
_LEFT = "no longer managed: an apply leaves what it set up as it is; `uplinks: []` has it taken away first"


def uplinks(before: WanSpec | None, after: WanSpec) -> Iterator[Difference]:
    """Uplinks that join, change and go, the order of preference, and the rest."""
    if not after.uplinks:
        if before is not None and before.uplinks:
            yield Difference("remove", "uplinks", items=_names(before), note=_GONE)
        return
    old = {} if before is None else {uplink.name: uplink for uplink in before.uplinks}
    new = {uplink.name: uplink for uplink in after.uplinks}
    yield from _joining(old, new)
    for name, uplink in new.items():
        if name in old and old[name] != uplink:
            way = tuple(_way(old[name], uplink))
            note = _ANEW if way else ""
            yield Difference("change", "uplink", name, (*way, *_judged(old[name], uplink)), note)
    for name in old:
        if name not in new:
            yield Difference("remove", "uplink", name, note=_ANEW)
    yield from _preference(tuple(old), tuple(new))
    if before is not None:
        yield from settings(before, after, _TOLD)


def left(before: WanSpec) -> Difference:
    """The uplinks of a host of which nothing is written any more."""
    return Difference("remove", "uplinks", items=_names(before), note=_LEFT)


def _joining(old: Mapping[str, UplinkSpec], new: Mapping[str, UplinkSpec]) -> Iterator[Difference]:
    for name, uplink in new.items():
        if name not in old:
            own = [uplink.interface, f"gateway {uplink.gateway}", f"dead after {_patience(uplink)}"]
            more = ["metered"] if uplink.metered else []
            yield Difference("add", "uplink", name, (", ".join([*own, *more]),))


def _way(old: UplinkSpec, new: UplinkSpec) -> Iterator[str]:
    """What moves its packets elsewhere."""
    yield from _fields(old, new, ("number", "interface", "gateway", "address", "gateway6"))


def _judged(old: UplinkSpec, new: UplinkSpec) -> Iterator[str]:
    """How it is told whether it works, and how much it is used."""
    yield from _fields(old, new, ("weight", "metered"))
    if _patience(old) != _patience(new):
        yield f"dead after {_patience(old)} → {_patience(new)}"
    if old.probing != new.probing:
        yield f"probing {', '.join(delta(old.probing, new.probing).changed)}"


def _fields(old: UplinkSpec, new: UplinkSpec, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name} {shown(before)} → {shown(after)}"


def _patience(uplink: UplinkSpec) -> str:
    """Seconds until one that is dead is left."""
    numbers = uplink.probing
    return f"{(numbers['down_after'] - 1) * numbers['interval'] + numbers['timeout']:g} s"


def _preference(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Difference]:
    """Told where those that stay change places, or another comes first."""
    staying = [name for name in old if name in new]
    if old and (staying != [name for name in new if name in old] or old[0] != new[0]):
        note = f"new connections move to {new[0]} once it has held" if old[0] != new[0] else ""
        yield Difference("change", "preference", items=(f"{', '.join(old)} → {', '.join(new)}",), note=note)


def _names(spec: WanSpec) -> tuple[str, ...]:
    return tuple(uplink.name for uplink in spec.uplinks)
