"""Two or more ways to the internet on one host, and how to tell which of them work."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.form import AbsolutePath, Form, InterfaceName, UserName, worded
from stackctl.core.model import Model
from stackctl.schema.probing import Probing, ProbingProfile

UplinkName = Annotated[
    str, Form(r"[a-z][a-z0-9-]{0,14}", "lower-case letters, digits and hyphens, 15 at most")
]

_BYTE = r"(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_ENDPOINT = rf"({_BYTE}\.){{3}}{_BYTE}:[1-9][0-9]{{0,4}}"


class Uplink(Model):
    """One way to the internet."""

    name: UplinkName
    """Its name in what is shown, in metrics, and in `stackctl wan switch`."""
    interface: InterfaceName
    """Network interface that it leaves by; two uplinks can share one where they have two gateways."""
    gateway: Annotated[IPv4Address | Literal["auto"], worded("an IPv4 address, or `auto`")] = "auto"
    """Router; `auto`: the one that the interface's DHCP or static configuration brings, followed when it changes."""
    address: Annotated[IPv4Interface | None, worded("an IPv4 address, such as `192.0.2.11/24`")] = None
    """The host's own address on this uplink, with its network's length, `192.0.2.11/24`, or alone; without it the first
    that the interface has in the gateway's network."""
    gateway6: Annotated[IPv6Address | Literal["auto"] | None, worded("an IPv6 address, or `auto`")] = None
    """Router for IPv6; without it the uplink carries IPv4 alone."""
    priority: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Lower is preferred; without it uplinks are preferred in the order in which they are written. All have one, or none."""
    number: Annotated[int, Field(ge=1, le=8)] | None = None
    """Number of its routing table and mark on the host; without it the place where it is written. Give it when you write
    a new uplink before others, so that connections that are open keep to theirs."""
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    """Share of new connections with `mode: weighted`."""
    profile: ProbingProfile | None = None
    """How it is probed, where other than the host's `wan.profile`."""
    mtu: Annotated[int, Field(ge=576, le=9216)] = 1500
    """Largest packet in bytes that gets through whole, as over PPPoE 1492; the mesh keeps to the least of all."""
    metered: bool = False
    """Paid by volume: used only while none of the others works, in `mode: weighted` too."""


class Target(Model):
    """Something on the internet that answers as long as an uplink works; one of the settings is given."""

    icmp: Annotated[IPv4Address | IPv6Address | None, worded("an IPv4 or IPv6 address")] = None
    """Address that answers a ping."""
    tcp: Annotated[str, Form(_ENDPOINT, "`ADDRESS:PORT`, such as `192.0.2.1:443`")] | None = None
    """Address and port that accept a connection."""
    dns: Annotated[IPv4Address | IPv6Address | None, worded("an IPv4 or IPv6 address")] = None
    """Address of a name server that answers a query."""

    @model_validator(mode="after")
    def _one(self) -> "Target":
        given = [value for value in (self.icmp, self.tcp, self.dns) if value is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "target", "needs exactly one of `icmp`, `tcp` and `dns`", {"hint": "write one"}
            )
        return self


class Pin(Model):
    """Traffic that leaves by one uplink as long as that works; one of `user`, `source` and `mesh` is given."""

    uplink: UplinkName
    """Name of one of `uplinks`."""
    user: UserName | None = None
    """Local user whose connections these are."""
    source: IPv4Network | None = None
    """Addresses that they come from, such as a container network."""
    mesh: Literal[True] | None = None
    """The mesh's own packets, with the backend `wireguard`."""

    @model_validator(mode="after")
    def _one(self) -> "Pin":
        if sum(value is not None for value in (self.user, self.source, self.mesh)) != 1:
            raise PydanticCustomError(
                "pin",
                "needs exactly one of `user`, `source` and `mesh`",
                {"hint": "write one; make two pins of two"},
            )
        return self


def _well_known() -> tuple[Target, ...]:
    return tuple(Target(icmp=IPv4Address(address)) for address in ("1.1.1.1", "8.8.8.8", "9.9.9.9"))


class Wan(Model):
    """The uplinks of a host, and the rules by which one of them is used."""

    uplinks: Annotated[tuple[Uplink, ...], Field(max_length=8)]
    """Two or more, the preferred one first; `[]` has an apply stop the agent and take away all that it set up."""
    mode: Literal["failover", "weighted"] = "failover"
    """`failover`: all traffic takes the best uplink that works; `weighted`: new connections are spread over those that work."""
    profile: ProbingProfile = "balanced"
    """`balanced` tells a dead uplink within 3 s, `fast` within 1 s, `lte` is patient with radio links."""
    probing: Probing = Probing()
    """Numbers of your own in place of the profile's."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=16)] = Field(
        default_factory=_well_known
    )
    """What is probed through each uplink: three or more of different operators tell a dead target from a dead uplink."""
    quorum: Annotated[int, Field(ge=1)] = 2
    """Targets that have to answer."""
    on_degraded: Literal["drain", "cut", "ignore"] = "drain"
    """What a lossy or slow uplink loses: new connections, all of them, or nothing."""
    cut: bool = True
    """Close the connections of an uplink that is down, so that clients come back at once rather than wait."""
    failback: Literal["auto", "manual"] = "auto"
    """Whether a preferred uplink that recovered is used again by itself, or upon `stackctl wan switch`."""
    resolvers: tuple[Annotated[IPv4Address | IPv6Address, worded("an IPv4 or IPv6 address")], ...] = ()
    """Name servers that are reached by every uplink, in place of those that DHCP brings: a provider's own often answer
    nobody else. For Ubuntu, whose systemd-resolved asks them."""
    pins: Annotated[tuple[Pin, ...], Field(max_length=64)] = ()
    """Traffic that keeps to one uplink."""
    hook: AbsolutePath | None = None
    """Program on the host that is run upon every switch, with the old and the new uplink's name as arguments; it has
    no more powers than the agent, which writes to no files but its own."""

    @model_validator(mode="after")
    def _a_choice(self) -> "Wan":
        if len(self.uplinks) == 1:
            raise PydanticCustomError(
                "uplinks",
                "needs two or more `uplinks`",
                {"hint": "add another, or write `uplinks: []` to have none managed any more"},
            )
        return self

    def ranked(self) -> tuple[Uplink, ...]:
        """Uplinks, the preferred one first; those that are metered come last."""
        return tuple(sorted(self.uplinks, key=lambda uplink: (uplink.metered, uplink.priority or 0)))

    def numbered(self) -> Mapping[str, int]:
        """The number of each uplink by its name: the one that is written, else the first free from its place on."""
        taken = {uplink.number for uplink in self.uplinks}
        free = iter(number for number in range(1, 9) if number not in taken)
        return {uplink.name: uplink.number or next(free) for uplink in self.uplinks}
