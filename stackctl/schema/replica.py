"""Where models answer: the running copies that placements make."""

from dataclasses import dataclass

from stackctl.schema.fleet import Fleet
from stackctl.schema.serving import Placement


@dataclass(frozen=True)
class Replica:
    """One running copy of a model, as the gateway reaches it."""

    name: str
    """`gpu1`, or `gpu1:8001` where the placement names a port."""
    address: str
    port: int
    max_requests: int | None
    """Requests it works on at the same time; None: not known."""
    service: str = ""
    """Name of its container, by which its host says whether it is being drained."""


def replicas(fleet: Fleet, model: str) -> tuple[Replica, ...]:
    """Where a model answers, in the order of its placements."""
    return tuple(
        Replica(
            _replica_name(placement),
            str(fleet.inside(placement.host)),
            placement.port or endpoint.port,
            endpoint.max_requests,
            service_name(model, placement),
        )
        for placement in fleet.placements.get(model, ())
        for endpoint in (fleet.server(model, placement).endpoint(),)
    )


def service_name(model: str, placement: Placement) -> str:
    """What the container of a placement is called."""
    # The port is in the name only where a person wrote one, so that a second replica never renames the first.
    return model if placement.port is None else f"{model}-{placement.port}"


def _replica_name(placement: Placement) -> str:
    return placement.host if placement.port is None else f"{placement.host}:{placement.port}"
