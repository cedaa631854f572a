"""The mesh by an interface that is there: somebody else makes it, and stackctl uses it."""

from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.mesh.members import members
from stackctl.mesh.wireguard import forwarding
from stackctl.schema.fleet import Fleet
from stackctl.schema.mesh import INTERFACES
from stackctl.schema.problem import Problem
from stackctl.schema.source import dotted


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


def check(fleet: Fleet) -> Iterator[Problem]:
    """Uplinks beside Tailscale, whose routes are in a table that is looked up after those of uplinks.

    No error: whoever makes the interface may have put routes to its peers into the main table.
    """
    mesh = fleet.network.mesh
    if mesh is None or mesh.device != INTERFACES["tailscale"]:
        return
    for name, host, _ in members(fleet):
        if host.wan is not None:
            key = ("hosts", name, "wan")
            what = f"{dotted(key)} has uplinks of its own, and what is for others in the mesh leaves by them"
            hint = (
                f"have the main table route {mesh.subnet} to {mesh.device}, or leave `wan` out on this host"
            )
            yield Problem(key, f"{what}: their routes come before Tailscale's", hint, severity="warning")
