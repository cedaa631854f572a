"""In which order the services of a host are replaced: who gives up a port or a device goes before who takes it."""

from collections.abc import Collection, Mapping
from typing import Any

from stackctl.ops.services import Services


def in_turn(
    before: Services, after: Services, changing: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The services that change, in order, and those among them that wait for each other in a circle."""
    held = {name: (_held(before.get(name, {})), _held(after.get(name, {}))) for name in changing}
    takes = {name: new - old for name, (old, new) in held.items()}
    gives = {name: old - new for name, (old, new) in held.items()}
    turn: list[str] = []
    left = sorted(changing)
    while left:
        ready = [
            name for name in left if not any(takes[name] & gives[other] for other in left if other != name)
        ]
        if not ready:
            return tuple(turn), tuple(left)
        turn += ready
        left = [name for name in left if name not in ready]
    return tuple(turn), ()


def _held(service: Mapping[str, Any]) -> frozenset[str]:
    """Ports of the host and devices, which only one container can have."""
    ports = (port for port in service.get("ports") or () if isinstance(port, dict))
    reservations = _at(service, "deploy", "resources", "reservations", "devices") or ()
    devices = (name for each in reservations for name in _at(each, "device_ids") or ())
    return frozenset(
        {*(f"{port.get('host_ip')}:{port.get('published')}" for port in ports), *map(str, devices)}
    )


def _at(value: Any, *way: str) -> Any:
    for key in way:
        value = value.get(key) if isinstance(value, dict) else None
    return value
