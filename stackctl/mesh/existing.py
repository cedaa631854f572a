"""The mesh by an interface that is there: somebody else makes it, and stackctl uses it."""

from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.mesh.wireguard import forwarding
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem


@dataclass(frozen=True)
class ExistingSpec:
    """What a host has to have before anything is made of it."""

    device: str
    address: str
    forwards: bool = False
    """Whether the host passes on packets that are not its own."""


def resolve(fleet: Fleet, host: str) -> ExistingSpec:
    """What is expected of `host`, which has a place in the mesh."""
    mesh, own = fleet.network.mesh, fleet.hosts[host].mesh
    assert mesh is not None  # noqa: S101 - asked by the caller
    assert own is not None  # noqa: S101
    return ExistingSpec(mesh.device, str(own.address), own.hub or bool(own.routes))


def templates(spec: ExistingSpec) -> tuple[FileTemplate, ...]:
    """Nothing of the interface is ours, and what its host passes on is no part of it."""
    return forwarding() if spec.forwards else ()


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:  # noqa: ARG001
    """None that stackctl knows; what it needs is written under `firewall.open`."""
    return ()


def check(fleet: Fleet) -> Iterator[Problem]:  # noqa: ARG001
    """Nothing that only an inventory shows."""
    return iter(())
