"""The hosts' own network, by one of several backends."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Protocol

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.mesh import checks, existing, nebula, tailscale, wireguard
from stackctl.mesh.existing import ExistingSpec
from stackctl.mesh.nebula import NebulaSpec
from stackctl.mesh.tailscale import TailscaleSpec
from stackctl.mesh.wireguard import WireguardSpec
from stackctl.schema.fleet import Fleet
from stackctl.schema.mesh import MeshBackend
from stackctl.schema.problem import Problem


class Backend(Protocol):
    """What a module of `stackctl.mesh` offers."""

    def resolve(self, fleet: Fleet, host: str) -> Any:
        """The backend's own specification of a host in the mesh."""

    def templates(self, spec: Any) -> tuple[FileTemplate, ...]:
        """The files of ours that this takes."""

    def openings(self, fleet: Fleet, host: str) -> tuple[Opening, ...]:
        """The ports that it listens on there."""

    def check(self, fleet: Fleet) -> Iterator[Problem]:
        """What is wrong for this backend; asked only of the one that the environment has."""


BACKENDS: Mapping[MeshBackend, Backend] = {
    "wireguard": wireguard,
    "nebula": nebula,
    "tailscale": tailscale,
    "existing": existing,
}
"""By the names of `network.mesh.backend`; each is also the field of `MeshSpec` with its specification."""
_BY_KERNEL = ("wireguard", "existing")
"""Backends in which a hub is a router like any other."""


@dataclass(frozen=True)
class MeshSpec:
    """A host's place in the mesh; the one specification that is set says by which backend."""

    device: str
    address: IPv4Address
    passes: tuple[str, ...]
    """Networks behind it that it passes packets of the mesh on to."""
    hub: bool
    """Whether its kernel passes on what two others have for each other; some backends' own programs do."""
    wireguard: WireguardSpec | None = None
    nebula: NebulaSpec | None = None
    tailscale: TailscaleSpec | None = None
    existing: ExistingSpec | None = None

    @property
    def chosen(self) -> tuple[MeshBackend, Any]:
        """The backend, and its specification."""
        return next((name, found) for name in BACKENDS if (found := getattr(self, name)) is not None)


def resolve(fleet: Fleet, host: str) -> MeshSpec | None:
    """The mesh as the host sees it; None where it has no place in it."""
    mesh, own = fleet.network.mesh, fleet.hosts[host].mesh
    if mesh is None or own is None:
        return None
    passes = tuple(map(str, own.routes))
    chosen = {mesh.backend: BACKENDS[mesh.backend].resolve(fleet, host)}
    return MeshSpec(mesh.device, own.address, passes, own.hub and mesh.backend in _BY_KERNEL, **chosen)


def templates(spec: MeshSpec) -> tuple[FileTemplate, ...]:
    """Those of its backend."""
    backend, own = spec.chosen
    return BACKENDS[backend].templates(own)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """Those of its backend."""
    mesh, own = fleet.network.mesh, fleet.hosts[host].mesh
    return () if mesh is None or own is None else BACKENDS[mesh.backend].openings(fleet, host)


def check(fleet: Fleet) -> Iterator[Problem]:
    """Addresses that clash, and what the backend has to say."""
    yield from checks.check(fleet)
    if fleet.network.mesh is not None:
        yield from BACKENDS[fleet.network.mesh.backend].check(fleet)
