"""The network of the hosts' own, in which everything that they serve is reached."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.form import DomainName, Form, InterfaceName, SecretName
from stackctl.core.model import Model
from stackctl.schema.repository import Repository

MeshBackend = Literal["wireguard", "nebula", "tailscale", "existing"]
INTERFACES: Mapping[MeshBackend, str] = {
    "wireguard": "wg0",
    "nebula": "nebula1",
    "tailscale": "tailscale0",
}
"""The interface that each backend makes, where the inventory names no other."""


class Nebula(Model):
    """Settings of the backend `nebula`: certificates of an authority of your own say who belongs and to which groups."""

    authority: Annotated[str, Form(r"[^\0]{1,4096}", "the text of the authority's certificate, `ca.crt`")]
    """Certificate of the authority, public; `nebula-cert ca` makes it, and the key. To replace it write the new one
    behind it and apply to all hosts, then put the new one first with its `key` and apply, then take the old one out."""
    key: SecretName
    """Secret that holds the authority's private key, as the text of `ca.key` or as its lines joined to one; it signs on
    the operator's machine, which needs `nebula-cert`, and goes to no host."""
    days: Annotated[int, Field(ge=2, le=3650)] = 365
    """How long a host's certificate is valid; an apply renews it in the last third."""
    revoked: tuple[
        Annotated[
            str,
            Form(r"[0-9a-f]{64}", "64 hexadecimal digits, the fingerprint that `nebula-cert print` shows"),
        ],
        ...,
    ] = ()
    """Fingerprints of certificates that count no more: that of a host which is taken out is valid to its end otherwise."""


class Tailscale(Model):
    """Settings of the backend `tailscale`, which has been tried against a stand-in and not against the real service."""

    auth_key: SecretName
    """Secret that holds the key by which a host joins; read when one joins, and on the host only meanwhile."""
    login_server: Annotated[str, Form(r"https://[a-z0-9.:/-]+", "an `https://` URL")] | None = None
    """URL of a Headscale server; without it Tailscale's own."""
    repository: Repository | None = None
    """A copy of Tailscale's package repository, for hosts that do not reach it."""


class Mesh(Model):
    """One private network over all hosts, wherever they are."""

    subnet: IPv4Network
    """Addresses of the mesh; every host has one of them in its own `mesh.address`."""
    backend: MeshBackend = "wireguard"
    """`wireguard`: the kernel's, every host knows every other; `nebula`: certificates in place of lists, for hundreds
    of hosts or groups; `tailscale`: with Tailscale's or a Headscale server; `existing`: an interface that is there."""
    interface: InterfaceName | None = None
    """Network interface of the mesh; without it the backend's usual one. `existing` needs it."""
    port: Annotated[int, Field(ge=1, le=65534)] = 51820
    """UDP port that hosts listen on; in the mesh itself they speak of new keys at the next one."""
    preshared: SecretName | None = None
    """Secret from which a key of their own is derived for each two hosts, on top of WireGuard's own."""
    preshared_epoch: Annotated[int, Field(ge=1)] = 1
    """Raise it to have all of those keys made anew."""
    keepalive: Annotated[int, Field(ge=1, le=600)] = 25
    """Seconds between two packets that keep the way through a NAT open; only pairs with a NAT between them send any."""
    nebula: Nebula | None = None
    """What the backend `nebula` needs."""
    tailscale: Tailscale | None = None
    """What the backend `tailscale` needs."""

    @model_validator(mode="after")
    def _complete(self) -> "Mesh":
        if self.backend == "existing" and self.interface is None:
            raise PydanticCustomError(
                "mesh",
                "with `backend: existing` needs the name of an interface",
                {"hint": "write `interface:` and its name, as `ip link` shows it"},
            )
        for backend in ("nebula", "tailscale"):
            if self.backend == backend and getattr(self, backend) is None:
                raise PydanticCustomError(
                    "mesh",
                    "with `backend: {backend}` needs settings of that backend",
                    {"backend": backend, "hint": f"write `{backend}:` and what `stackctl schema` says of it"},
                )
        return self

    @property
    def device(self) -> str:
        """The network interface of the mesh."""
        return self.interface or INTERFACES[self.backend]


class Member(Model):
    """A host's place in the mesh."""

    address: IPv4Address
    """Its address there, written once and kept: other hosts know it by this."""
    endpoints: tuple[IPv4Address | DomainName, ...] = ()
    """Where others reach it from outside, one for each uplink, the preferred first; without them its `address`."""
    site: Annotated[str, Form(r"[a-z0-9-]+", "lower-case letters, digits and hyphens")] | None = None
    """Hosts of one site reach each other at their `address`, past the routers between the site and the world."""
    nat: bool = False
    """Behind a router that lets nobody in: it reaches others, and others reach it once it has."""
    hub: bool = False
    """Passes on what two hosts behind NATs have for each other; a host with an address of its own on the internet."""
    routes: tuple[IPv4Network, ...] = ()
    """Networks behind it that others reach through the mesh, such as its containers'."""
    key: Annotated[int, Field(ge=1)] = 1
    """Number of its key: raise it, and the next apply makes a new one and has all others follow."""
    groups: tuple[Annotated[str, Form(r"[a-z0-9-]+", "lower-case letters, digits and hyphens")], ...] = ()
    """Groups in its certificate, with the backend `nebula`; its roles are groups too."""

    def near(self, other: "Member") -> bool:
        """Whether both are at one site."""
        return self.site is not None and self.site == other.site
