"""What a host lets in."""

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from stackctl.core.form import Form, InterfaceName
from stackctl.core.model import Model

PLACES = ("mesh", "management", "anywhere")
"""What stands for addresses in `open.sources`, beside networks and names of hosts."""

Origin = Annotated[
    str,
    Form(
        r"([0-9]{1,3}\.){3}[0-9]{1,3}(/[0-9]{1,2})?|[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "a network such as 10.0.0.0/24, a host's name, `mesh`, `management` or `anywhere`",
    ),
]


class Own(Model):
    """Ports of a service that stackctl does not run."""

    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1)]
    """Ports that it listens on, as others dial them."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """Protocol."""
    sources: Annotated[tuple[Origin, ...], Field(min_length=1)]
    """Who may reach it: networks, hosts by name, `mesh`, `management`, or `anywhere`, uplinks included."""
    reason: Annotated[
        str,
        Form(r"[A-Za-z0-9][A-Za-z0-9 .,:;/()_'+-]{2,79}", "a few words that say what for, without quotes"),
    ]
    """What it is for; `stackctl firewall show` tells it."""


class Firewall(Model):
    """A host that is closed to everything that no capability of it has declared."""

    ssh: Literal["management", "mesh"] = "management"
    """Who may log in: `management`: the networks of `management` and the mesh; `mesh`: the mesh alone, which a plan
    refuses until the operator's own login comes over the mesh."""
    management: tuple[IPv4Network, ...] = ()
    """Networks that operators and monitoring come from, by whichever interface; the mesh is one of them anyway."""
    clients: tuple[IPv4Network, ...] = ()
    """Networks that may ask the gateway, beside the mesh and `management`."""
    outside: tuple[InterfaceName, ...] = ()
    """Interfaces towards the internet, beside those of `wan.uplinks`: what enters by them is dropped before Docker sees
    it, but for what is declared."""
    open: tuple[Own, ...] = ()
    """Ports of services that stackctl does not run."""
    ping: bool = True
    """Whether pings are answered, outside too, at a limited rate."""
