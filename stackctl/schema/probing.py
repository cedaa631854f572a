"""How an uplink is probed: a few profiles, and numbers of one's own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from stackctl.core.model import Model

ProbingProfile = Literal["balanced", "fast", "lte"]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Share = Annotated[float, Field(ge=0, le=1)]


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


PROFILES: Mapping[ProbingProfile, Probing] = MappingProxyType(
    {
        "balanced": Probing(
            interval=0.5,
            timeout=1.0,
            down_after=4,
            up_after=10,
            window=30.0,
            loss_down=0.2,
            loss_up=0.05,
            rtt_down=0.5,
            rtt_up=0.25,
            hold=60.0,
        ),
        "fast": Probing(
            interval=0.2,
            timeout=0.4,
            down_after=3,
            up_after=25,
            window=15.0,
            loss_down=0.2,
            loss_up=0.05,
            rtt_down=0.3,
            rtt_up=0.15,
            hold=60.0,
        ),
        "lte": Probing(
            interval=1.0,
            timeout=2.0,
            down_after=5,
            up_after=10,
            window=60.0,
            loss_down=0.3,
            loss_up=0.1,
            rtt_down=1.0,
            rtt_up=0.6,
            hold=120.0,
        ),
    }
)
"""All numbers of each: a dead uplink is told after 2.5 s, 0.8 s and 6 s."""


def resolved(profile: ProbingProfile, own: Probing) -> dict[str, float | int]:
    """The profile's numbers, with those of one's own over them."""
    given = {name: value for name, value in own.model_dump().items() if value is not None}
    return {**PROFILES[profile].model_dump(), **given}
