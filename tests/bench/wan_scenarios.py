"""What goes wrong, and what those on the host notice of it."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.agents.wan_rig import HOME, Rig, rig
from tests.agents.wan_streams import Connection, Datagrams, going_on
from tests.agents.wan_tunnel import FAR, tunnel
from tests.bench.wan_contenders import HOLD, Contender

OUTAGE = 8.0
"""Seconds for which something stays dead; who has not left by then never does."""
PATIENCE = 40.0
"""Seconds in which loss and latency have to be noticed, and an uplink that is well again to be used."""
SETTLED = 18.0
"""Seconds of good weather before it changes, so that windows have filled."""
UP, DOWN, FLAPPING = 6.0, 5.0, 90.0
"""Seconds: of a flap's two halves, and of all of them."""
RESENT = 30.0
"""Seconds in which a session has to carry words again. TCP doubles its patience with each packet that is lost: it tries
again after at most as long as it has been silent, so that a way that is well is used late by who lost much before."""
LONG_HOLD = 60.0
"""The hold of the profiles, which flaps are measured with."""


@dataclass(frozen=True)
class Outcome:
    """What was seen of one contender in one scenario."""

    contender: str
    scenario: str
    gap: float
    """Seconds of the longest time in which no new flow got through."""
    noticed: float | None
    """Seconds until another uplink was used; None: it never was."""
    switches: int
    lost_on_the_way_back: int | None
    """Datagrams from the healing until the first uplink was used again; None: it was not left, or not gone back to."""
    session: bool
    """The TCP session in the tunnel was the same at the end and carried words again."""
    resumed: float | None
    """Seconds until it did, from the end of what happened; None: it did not within `RESENT`."""
    silence: float
    """Seconds of its longest silence."""


class Watch:
    """Both streams of one run, and when things happened."""

    def __init__(self, made: Rig, datagrams: Datagrams, session: Connection) -> None:
        self.made = made
        self.datagrams = datagrams
        self.session = session
        self.struck = self.healed = self.back = 0.0

    def strike(self, fault: Callable[[], None]) -> None:
        self.struck = time.monotonic()
        fault()

    def source(self) -> str:
        """The address by which the last flow left."""
        return self.datagrams.sources[-1][1]

    def wait(self, address: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.source() != address and time.monotonic() < end:
            time.sleep(0.02)
        return self.source() == address

    def resumed(self) -> float | None:
        """Seconds until the session carries words again, once TCP has sent anew what loss has swallowed."""
        begin = time.monotonic()
        while time.monotonic() < begin + RESENT:
            if (after := self.session.times[-1:]) and after[0] >= begin:
                return after[0] - begin
            time.sleep(0.05)
        return None

    def noticed(self) -> float | None:
        left = (at for at, source in self.datagrams.sources if at > self.struck and source != HOME[1])
        return next((at - self.struck for at in left), None)

    def switches(self) -> int:
        sources = [source for _, source in self.datagrams.sources]
        return sum(old != new for old, new in itertools.pairwise(sources))


def _outage(fault: str) -> Callable[[Watch], None]:
    def happen(watch: Watch) -> None:
        time.sleep(3)
        strike: Callable[..., None] = getattr(watch.made, fault)
        watch.strike(lambda: strike(1))
        time.sleep(OUTAGE)
        strike(1, dead=False)
        time.sleep(0.3)
        watch.healed = time.monotonic()
        if watch.source() != HOME[1] and watch.wait(HOME[1], PATIENCE):
            time.sleep(2)
            watch.back = time.monotonic()
        time.sleep(2)

    return happen


def _weather(loss: float = 0.0, delay: float = 0.0) -> Callable[[Watch], None]:
    def happen(watch: Watch) -> None:
        time.sleep(SETTLED)
        watch.strike(lambda: watch.made.weather(1, loss=loss, delay=delay))
        watch.wait(HOME[2], PATIENCE)
        time.sleep(3)

    return happen


def _flap(watch: Watch) -> None:
    time.sleep(3)
    watch.struck = end = time.monotonic()
    while end - watch.struck < FLAPPING:
        watch.made.upstream(1)
        time.sleep(DOWN)
        watch.made.upstream(1, dead=False)
        time.sleep(UP)
        end = time.monotonic()
    time.sleep(2)


SCENARIOS: dict[str, Callable[[Watch], None]] = {
    "dead upstream": _outage("upstream"),
    "dead gateway": _outage("gateway"),
    "carrier loss": _outage("carrier"),
    "30 % loss": _weather(loss=0.3),
    "latency step": _weather(delay=0.3),
    "flap": _flap,
}


def measure(contender: Contender, scenario: str) -> Outcome:
    """One contender in one scenario, in a network of its own."""
    with rig(impaired=[1]) as made:
        tunnel(made)
        contender.start(made, LONG_HOLD if scenario == "flap" else HOLD)
        here = made.namespace("host")
        with going_on(here, Datagrams()) as datagrams, going_on(here, Connection(FAR)) as session:
            watch = Watch(made, datagrams, session)
            SCENARIOS[scenario](watch)
            resumed = watch.resumed()
            alive = resumed is not None and session.dialled == 1
            silence = session.gap()
        return Outcome(
            contender.name,
            scenario,
            datagrams.gap(watch.struck - 0.5),
            watch.noticed(),
            watch.switches(),
            datagrams.lost(watch.healed, watch.back) if watch.back else None,
            alive,
            resumed,
            silence,
        )
