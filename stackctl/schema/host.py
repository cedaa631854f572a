"""A host, and what like hosts can share."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import AbsolutePath
from stackctl.core.model import Model
from stackctl.schema.docker import Docker
from stackctl.schema.firewall import Firewall
from stackctl.schema.gpu import Driver, Gpu, GpuName
from stackctl.schema.mesh import Member
from stackctl.schema.ssh import Ssh
from stackctl.schema.system import System
from stackctl.schema.wan import Wan
from stackctl.servers.base import once_each

Role = Literal["gateway", "models"]
OperatingSystem = Literal["debian-13", "debian-12", "ubuntu-24.04", "ubuntu-22.04"]


class Profile(Model):
    """Settings for all hosts that name this profile.

    A host's own value wins; within `ssh`, `system`, `docker`, `driver`, `wan` and `firewall` it wins setting by setting,
    and a list or mapping inside those is replaced as a whole.
    """

    os: OperatingSystem = "debian-13"
    """System the host runs; `apply` refuses a host that runs another."""
    roles: Annotated[tuple[Role, ...], AfterValidator(once_each)] = ()
    """`models`: carries the models placed on it; `gateway`: the stable URLs in front of all models.

    Keep `models` on a host when you take its last placement away, so that `apply` removes the container.
    """
    weights: AbsolutePath = "/srv/weights"
    """Directory of the models' weights, on the disk that has the room."""
    ssh: Ssh = Ssh()
    """The way in."""
    system: System = System()
    """The machine itself."""
    docker: Docker = Docker()
    """The container engine."""
    driver: Driver = Driver()
    """NVIDIA's driver."""
    wan: Wan | None = None
    """Its uplinks, where it has two or more; without it nobody looks after routes."""
    firewall: Firewall | None = None
    """What it lets in; without it nobody looks after that."""


class Host(Profile):
    """One machine."""

    address: IPv4Address
    """Address in the hosts' own network: models and gateways listen on it, other hosts reach it there."""
    profile: str | None = None
    """Name of one of `profiles`, for the settings it shares with its like."""
    gpus: Mapping[GpuName, Gpu] = Field(default_factory=dict)
    """GPUs by a short name of your choice."""
    mesh: Member | None = None
    """Its place in the environment's `network.mesh`."""

    def card(self, device: str) -> str | None:
        """Name of the GPU that a device is, or is an instance of; None: the host has no such device."""
        if device in self.gpus:
            return device
        return next((name for name, gpu in self.gpus.items() if device in gpu.instances), None)

    def uuid(self, device: str) -> str | None:
        """UUID of a GPU or of an instance of one; None: it is not known, or there is no such device."""
        card = self.card(device)
        return None if card is None else self.gpus[card].instances.get(device, self.gpus[card].uuid)

    def mig(self, card: str) -> tuple[str, ...]:
        """Profiles of the instances that a GPU is cut into; none where it is left whole, or nobody looks."""
        own = self.gpus[card].tuning.mig
        return (own if own is not None else self.driver.tuning.mig) or ()

    @property
    def devices(self) -> tuple[str, ...]:
        """GPUs and instances of GPUs by their names."""
        return (*self.gpus, *(name for gpu in self.gpus.values() for name in gpu.instances))
