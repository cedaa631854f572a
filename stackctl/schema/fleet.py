"""An environment as a whole: what was written, typed and checked."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field

from stackctl.core.form import Form, HostName, ImageName, ModelName, SecretName
from stackctl.core.model import Model
from stackctl.schema.gateway import Gateway
from stackctl.schema.host import Host, Profile
from stackctl.schema.image import Demand, Locked, demand, digest
from stackctl.schema.lab import Lab
from stackctl.schema.network import Network
from stackctl.schema.secret import Secret
from stackctl.schema.serving import Placement
from stackctl.schema.snapshot import Snapshot, SnapshotName, directory, named
from stackctl.schema.weights import Weights
from stackctl.servers import ModelServer
from stackctl.servers.base import HubWeights

EnvironmentName = Annotated[
    str, Form(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?", "24 lower-case letters, digits and hyphens at most")
]
ProfileName = Annotated[str, Form(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "lower-case letters, digits and hyphens")]


class Environment(Model):
    """One file of `inventory/`: hosts, and which models of the catalogue run on them."""

    environment: EnvironmentName
    """Name of the environment, the same as the file's."""
    hosts: Annotated[Mapping[HostName, Host], Field(min_length=1)]
    """Machines by name."""
    profiles: Mapping[ProfileName, Profile] = Field(default_factory=dict)
    """Settings that like hosts share, by name; a host takes one with `profile`."""
    placements: Mapping[ModelName, tuple[Placement, ...]] = Field(default_factory=dict)
    """Replicas by model of the catalogue."""
    network: Network = Network()
    """Names that hold on every host."""
    gateway: Gateway = Gateway()
    """The stable URLs, on every host with the role `gateway`."""
    weights: Weights = Weights()
    """Where hosts get the weights of model repositories from."""
    secrets: Mapping[SecretName, Secret] = Field(default_factory=dict)
    """Where this environment's secrets are found, by the names that the catalogue uses."""
    locked: Literal["required", "optional"] = "optional"
    """`required`: hosts get only images and model repositories that `inventory/images.lock` and
    `inventory/weights.lock` have; everything else is refused before any host is touched."""
    lab: Lab | None = None
    """Makes the environment a lab of virtual hosts on this machine."""


class Fleet(Environment):
    """An environment together with the catalogue and the pinned images: all that is wanted, in one value."""

    models: Mapping[ModelName, ModelServer] = Field(default_factory=dict)
    """The catalogue."""
    digests: Mapping[ImageName, Locked] = Field(default_factory=dict)
    """What each image is exactly, from `inventory/images.lock`: a digest, or a mapping with one."""
    snapshots: Mapping[SnapshotName, Snapshot] = Field(default_factory=dict)
    """What each model repository is exactly, from `inventory/weights.lock`, by `owner/name@revision`."""

    def inside(self, host: str) -> IPv4Address:
        """The address at which a host serves others and is reached by them: that in the mesh, where it has one."""
        member = self.hosts[host].mesh
        return (
            member.address
            if member is not None and self.network.mesh is not None
            else self.hosts[host].address
        )

    def on(self, host: str) -> Iterator[tuple[str, Placement]]:
        """Models placed on a host, with their placements; in name order, so that output is stable."""
        for model, placements in sorted(self.placements.items()):
            yield from ((model, placement) for placement in placements if placement.host == host)

    def with_role(self, role: str) -> tuple[str, ...]:
        """Names of the hosts with a role, in order."""
        return tuple(sorted(name for name, host in self.hosts.items() if role in host.roles))

    def pinned(self, image: str) -> str:
        """An image as hosts pull it: by digest where `images.lock` has one."""
        locked = self.digests.get(image)
        return image if locked is None else f"{image.rpartition(':')[0]}@{digest(locked)}"

    def server(self, model: str, placement: Placement) -> ModelServer:
        """A model's server as a placement of it sizes it; all else is the catalogue's."""
        return self.models[model].sized(placement.sizes)

    def snapshot(self, model: str) -> Snapshot | None:
        """A model's repository as `weights.lock` has it; None where it has none, or the model no repository."""
        weights = self.models[model].weights
        return self.snapshots.get(named(weights)) if isinstance(weights, HubWeights) else None

    def weights_on(self, model: str, host: str) -> str | None:
        """The directory of a model's weights on a host; None where they are in the image."""
        weights, root = self.models[model].weights, self.hosts[host].weights
        if isinstance(weights, HubWeights):
            return directory(root, weights, self.snapshot(model))
        return None if weights is None else f"{root}/{weights.path}"

    def demand(self, model: str) -> Demand:
        """What a model's image demands of a host, as far as the catalogue and the lock tell."""
        server = self.models[model]
        return demand(server, self.digests.get(server.image))
