"""The hosts' common network."""

from collections.abc import Mapping
from ipaddress import IPv4Address

from pydantic import Field

from stackctl.core.form import DomainName
from stackctl.core.model import Model
from stackctl.schema.mesh import Mesh


class Network(Model):
    """Names that hold on every host."""

    domain: DomainName = "stack.internal"
    """Hosts also know each other as NAME.DOMAIN."""
    names: Mapping[DomainName, IPv4Address] = Field(default_factory=dict)
    """More names for the hosts file of every host, such as a registry that no DNS server knows."""
    mesh: Mesh | None = None
    """The hosts' private network; without it they reach each other at their `address`."""
