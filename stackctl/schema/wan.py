"""Two or more ways to the internet on one host, and how to tell which of them work."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.form import AbsolutePath, Form, InterfaceName, UserName
from stackctl.core.model import Model

UplinkName = Annotated[
    str, Form(r"[a-z][a-z0-9-]{0,14}", "lower-case letters, digits and hyphens, 15 at most")
]
ProbingProfile = Literal["balanced", "fast", "lte"]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Share = Annotated[float, Field(ge=0, le=1)]


class Uplink(Model):
    """One way to the internet."""

    name: UplinkName
    """Its name in what is shown, in metrics, and in `stackctl wan switch`."""
    interface: InterfaceName
    """Network interface that it leaves by; two uplinks can share one where they have two gateways."""
    gateway: IPv4Address | Literal["auto"] = "auto"
    """Router; `auto`: the one that the interface's DHCP or static configuration brings, followed when it changes."""
    address: IPv4Address | None = None
    """The host's own address on this uplink; without it the first that the interface has in the gateway's network."""
    gateway6: IPv6Address | Literal["auto"] | None = None
    """Router for IPv6; without it the uplink carries IPv4 alone."""
    priority: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Lower is preferred; without it uplinks are preferred in the order in which they are written."""
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    """Share of new connections with `mode: weighted`."""
    profile: ProbingProfile | None = None
    """How it is probed, where other than the host's `wan.profile`."""
    mtu: Annotated[int, Field(ge=576, le=9216)] = 1500
    """Largest packet in bytes that gets through whole, as over PPPoE 1492; the mesh keeps to the least of all."""
    metered: bool = False
    """Paid by volume: taken last, and never used by half in `mode: weighted`."""


class Target(Model):
    """Something on the internet that answers as long as an uplink works; one of the settings is given."""

    icmp: IPv4Address | IPv6Address | None = None
    """Address that answers a ping."""
    tcp: Annotated[str, Form(r"([0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]{1,5}", "`ADDRESS:PORT`")] | None = None
    """Address and port that accept a connection."""
    dns: IPv4Address | IPv6Address | None = None
    """Address of a name server that answers a query."""

    @model_validator(mode="after")
    def _one(self) -> "Target":
        given = [value for value in (self.icmp, self.tcp, self.dns) if value is not None]
        if len(given) != 1:
            raise PydanticCustomError("target", "needs exactly one of `icmp`, `tcp` and `dns`")
        return self


class Probing(Model):
    """Numbers in place of the profile's, setting by setting."""

    interval: Seconds | None = None
    """Seconds between two probes of an uplink."""
    timeout: Seconds | None = None
    """Seconds after which an answer counts as lost."""
    down_after: Annotated[int, Field(ge=1, le=100)] | None = None
    """Ticks in a row without a quorum of targets, until the uplink is down."""
    up_after: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Good ticks in a row, until an uplink that was down recovers."""
    window: Seconds | None = None
    """Seconds over which loss and latency are measured."""
    loss_down: Share | None = None
    """Share of lost probes above which an uplink counts as degraded."""
    loss_up: Share | None = None
    """Share of lost probes below which it no longer does."""
    rtt_down: Seconds | None = None
    """Round trip in seconds above which an uplink counts as degraded."""
    rtt_up: Seconds | None = None
    """Round trip in seconds below which it no longer does."""
    hold: Annotated[float, Field(ge=0, le=86400)] | None = None
    """Seconds that a recovered uplink has to stay well before it is used again; doubled by flaps, 8 times at most."""


class Pin(Model):
    """Traffic that leaves by one uplink as long as that works; `user` or `source` is given."""

    uplink: UplinkName
    """Name of one of `uplinks`."""
    user: UserName | None = None
    """Local user whose connections these are."""
    source: IPv4Network | None = None
    """Addresses that they come from, such as a container network."""

    @model_validator(mode="after")
    def _one(self) -> "Pin":
        if (self.user is None) == (self.source is None):
            raise PydanticCustomError("pin", "needs exactly one of `user` and `source`")
        return self


def _well_known() -> tuple[Target, ...]:
    return tuple(Target(icmp=IPv4Address(address)) for address in ("1.1.1.1", "8.8.8.8", "9.9.9.9"))


class Wan(Model):
    """The uplinks of a host, and the rules by which one of them is used."""

    uplinks: Annotated[tuple[Uplink, ...], Field(min_length=2, max_length=8)]
    """Two or more, the preferred one first."""
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
    pins: tuple[Pin, ...] = ()
    """Traffic that keeps to one uplink."""
    hook: AbsolutePath | None = None
    """Program on the host that is run upon every switch, with the old and the new uplink's name as arguments."""

    def ranked(self) -> Iterator[Uplink]:
        """Uplinks, the preferred one first; those that are metered come last."""
        order = {uplink.name: index for index, uplink in enumerate(self.uplinks)}
        yield from sorted(
            self.uplinks,
            key=lambda uplink: (uplink.metered, uplink.priority or 0, order[uplink.name]),
        )
