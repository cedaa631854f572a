"""What a host lets in."""

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.form import Form, HostName, InterfaceName
from stackctl.core.model import Model

Place = Literal["mesh", "management", "anywhere"]


class Own(Model):
    """Ports of a service that stackctl does not run."""

    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1)]
    """Ports that it listens on."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """Protocol."""
    sources: Annotated[tuple[IPv4Network | HostName | Place, ...], Field(min_length=1)]
    """Who may reach it: networks, hosts by name, `mesh`, `management`, or `anywhere`, uplinks included."""
    reason: Annotated[str, Form(r"[ -~]{3,80}", "a few words that say what for")]
    """What it is for; `stackctl firewall show` tells it."""


class Firewall(Model):
    """A host that is closed to everything that no capability of it has declared."""

    ssh: Literal["management", "mesh"] = "management"
    """Who may log in: `management`: the networks of `management` and the mesh; `mesh`: the mesh alone, switched to only
    after a login over the mesh has been seen to work."""
    management: tuple[IPv4Network, ...] = ()
    """Networks that operators and monitoring come from."""
    clients: tuple[IPv4Network, ...] = ()
    """Networks that may ask the gateway, beside the mesh and `management`."""
    outside: tuple[InterfaceName, ...] = ()
    """Interfaces towards the internet, beside those of `wan.uplinks`: nothing enters by them but what is declared."""
    open: tuple[Own, ...] = ()
    """Ports of services that stackctl does not run."""
    ping: bool = True
    """Whether pings are answered, outside too, at a limited rate."""

    @model_validator(mode="after")
    def _way_in(self) -> "Firewall":
        if self.ssh == "management" and not self.management:
            raise PydanticCustomError(
                "firewall", "needs the `management` networks that operators come from, or `ssh: mesh`"
            )
        return self
